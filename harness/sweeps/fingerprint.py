"""The fingerprint of a cell: a hash of everything that can change its result, and of nothing else."""

import hashlib
import json
from typing import Any

from harness.redaction.masked_data import mask_data
from harness.redaction.masking import mask_urls

MEASUREMENT = 2  # raised when the code changes what a stored number means


def fingerprint(inputs: dict[str, Any]) -> str:
    """Hash the inputs, secrets masked: another token in `engine.env` is the same engine."""
    found = mask_data({"measurement": MEASUREMENT, **inputs}, mask_urls)
    text = json.dumps(found, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

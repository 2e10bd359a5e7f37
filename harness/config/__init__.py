"""The configuration: typed dataclasses (schema, variants, workloads) and pure functions on them.

Values are YAML files under conf/.
"""

from typing import Any

MISSING: Any = "???"  # omegaconf.MISSING, whose import takes 0.1 s of every process that knows a setting's type

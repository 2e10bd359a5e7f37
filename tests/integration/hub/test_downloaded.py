"""Weights as huggingface_hub itself downloads them: what it leaves in its cache is compared with the hub's sha256."""

from tests.hub.contents import MODEL

DOWNLOAD = f"""
from pathlib import Path
from huggingface_hub import snapshot_download
folder = Path(snapshot_download({MODEL!r}))
print(folder.name, [path.resolve() for path in folder.glob("*.safetensors")][0])
"""
COMPARE = f"""
import hashlib, sys
from harness.checkpoints.downloaded import confirm_weights
from harness.checkpoints.file_digests import Digests
from harness.errors import HarnessError
try:
    confirm_weights({MODEL!r}, sys.argv[1], Digests(hasher=hashlib.sha256))
except HarnessError as error:
    sys.exit(f"error: {{error}}")
"""


def test_a_flipped_bit_of_downloaded_weights_is_found_and_downloaded_again(python):
    commit, _, path = python("-c", DOWNLOAD).stdout.strip().partition(" ")
    assert python("-c", COMPARE, commit).returncode == 0
    with open(path, "r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    assert python("-c", DOWNLOAD).stdout.strip().endswith(path), "huggingface_hub takes it for whole"
    done = python("-c", COMPARE, commit)
    assert done.returncode == 1 and "model.safetensors in the hub's cache does not match" in done.stderr, done.stderr
    assert python("-c", DOWNLOAD).returncode == 0 and python("-c", COMPARE, commit).returncode == 0

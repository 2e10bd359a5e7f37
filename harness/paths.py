"""Where configuration and the project's own files are: beside the package in a checkout, inside it in a wheel."""

from pathlib import Path

GROUPS = ("sweep", "variant", "engine", "suite", "scenario", "compression", "executor")
PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def conf_dir() -> Path:
    """The project's own configuration: config.yaml and a folder for each of GROUPS."""
    return _folder("conf")


def conf_dirs() -> list[Path]:
    """Where configuration is looked for, in order: `conf/` of the working directory if it has groups, then conf_dir().

    A file of the first replaces one of the same name in the second.
    """
    own, here = conf_dir(), Path("conf").absolute()
    if not any((here / group).is_dir() for group in GROUPS) or here.samefile(own):
        return [own]
    return [here, own]


def conf_files(group: str) -> dict[str, Path]:
    """The files of a group by the name that chooses them, in alphabetical order."""
    found = {path.stem: path for folder in reversed(conf_dirs()) for path in (folder / group).glob("*.yaml")}
    return dict(sorted(found.items()))


def scenarios_dir() -> Path:
    """Corpora and pocket suites."""
    return _folder("scenarios")

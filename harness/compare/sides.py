"""From what the user wrote, ``results/NAME`` or ``results/NAME:VARIANT``, to the pairs of variants to compare."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.analysis.comparison import Side
from harness.analysis.load_study import load_study
from harness.analysis.study import Study
from harness.console.output import warn_of_damage
from harness.errors import ConfigError, did_you_mean

Studies = dict[Path, Study]  # those that were read, by folder


@dataclass(frozen=True)
class Group:
    """All starts of one variant of A and of one of B; `a` is the newest of its side, `b` the first."""

    references: tuple[Side, ...]
    candidates: tuple[Side, ...]

    @property
    def a(self) -> Side:
        return max(self.references, key=lambda side: measured_at(side.study))

    @property
    def b(self) -> Side:
        return self.candidates[0]

    @property
    def places(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return tuple(side.place for side in self.references), tuple(side.place for side in self.candidates)


def measured_at(study: Study) -> str:
    """When its last cell was measured, ISO 8601; empty where no record says it."""
    return max((m.started_at for m in study.measured), default="")


def groups(references: Sequence[str], candidates: Sequence[str], results: Path | None = None) -> list[Group]:
    """Pair every reference with the first candidate, and the newest reference with every other. Raises ConfigError."""
    studies: Studies = {}
    found: dict[str, list[Side]] = {}
    first: dict[str, Side] = {}
    for text in references:
        for a, b in pairs(text, candidates[0], results, studies):
            found.setdefault(b.variant, []).append(a)
            first[b.variant] = b
    others: dict[str, list[Side]] = {name: [side] for name, side in first.items()}
    for text in candidates[1:]:
        for _, b in pairs(references[-1], text, results, studies):
            others.setdefault(b.variant, []).append(b)
    return [Group(tuple(sides), tuple(others[name])) for name, sides in found.items()]


def pairs(a: str, b: str, results: Path | None = None, studies: Studies | None = None) -> list[tuple[Side, Side]]:
    """With `results`, A and B are variants of that sweep. Raises ConfigError for what cannot be compared.

    Two folders: every variant that both have, by name. A folder against a variant: the variant of that name.
    `studies`: those that were read; what is read here is added.
    """
    studies = {} if studies is None else studies
    if results is not None:
        a, b = f"{results}:{a}", f"{results}:{b}"
    (path_a, name_a), (path_b, name_b) = _split(a), _split(b)
    if path_a.resolve() == path_b.resolve():
        if name_a is None or name_b is None or name_a == name_b:
            raise ConfigError(
                f"A and B are the same, {a}; name two sweeps, or two variants of one: {path_a}:VARIANT {path_a}:VARIANT"
            )
        study_a = study_b = read_study(path_a, studies)
    else:
        study_a, study_b = read_study(path_a, studies), read_study(path_b, studies)
    names = _names(study_a, name_a, path_a, study_b, name_b, path_b)
    found = [(Side(study_a, one, f"{path_a}:{one}"), Side(study_b, two, f"{path_b}:{two}")) for one, two in names]
    for side in found[0] if len(found) == 1 else ():
        if not any(m.cell.variant == side.variant for m in side.study.measured):
            raise ConfigError(f"{side.place} has no measured cell; run its sweep first: {side.study.command}")
    return found


def _names(
    study_a: Study, a: str | None, path_a: Path, study_b: Study, b: str | None, path_b: Path
) -> list[tuple[str, str]]:
    if one := a or b:
        return [(_known(study_a, one, path_a), _known(study_b, b or one, path_b))]
    if common := [name for name in study_a.variants if name in study_b.variants]:
        return [(name, name) for name in common]
    if len(study_a.variants) == len(study_b.variants) == 1:
        return [(next(iter(study_a.variants)), next(iter(study_b.variants)))]
    raise ConfigError(
        f"{path_a} ({', '.join(study_a.variants)}) and {path_b} ({', '.join(study_b.variants)}) have no variant in "
        f"common; name one of each: {path_a}:VARIANT {path_b}:VARIANT"
    )


def _known(study: Study, name: str, path: Path) -> str:
    if name not in study.variants:
        raise ConfigError(f"{path} has no variant {name!r}{did_you_mean(name, list(study.variants))}")
    return name


def _split(text: str) -> tuple[Path, str | None]:
    """A folder may have a colon in its name: what exists as a whole is one."""
    if Path(text).is_dir() or ":" not in text:
        path, name = Path(text), None
    else:
        folder, _, name = text.rpartition(":")
        path = Path(folder)
    if not path.is_dir() or not text:
        hint = (
            "" if "/" in text else f"; for a variant of a sweep write results/SWEEP:{text}, or --results results/SWEEP"
        )
        raise ConfigError(f"{path} is no folder; name one that a sweep has written, like results/quickstart{hint}")
    return path, name or None


def read_study(path: Path, studies: Studies | None = None) -> Study:
    """Return the study of a folder that has measured cells and no damaged one. Raises ConfigError."""
    studies = {} if studies is None else studies
    if path.resolve() in studies:
        return studies[path.resolve()]
    study = load_study(path)
    cells = [damage for damage in study.damaged if damage.path.startswith("cells/")]
    if cells:
        said = "; ".join(f"{path}/{damage}" for damage in cells)
        raise ConfigError(
            f"{said}; run the sweep again: it measures {'this cell' if len(cells) == 1 else 'these'} alone"
        )
    warn_of_damage(path, study.damaged, "not used")
    if not study.measured:
        raise ConfigError(f"{path} has no measured cell; run its sweep first: {study.command}")
    studies[path.resolve()] = study
    return study

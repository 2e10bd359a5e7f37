"""From the command line of `harness study` to a draft: reads the checkpoints, chooses the rest."""

import re
from collections.abc import Sequence
from pathlib import Path

from harness.checkpoints.hub import offline_reason
from harness.config.catalogue import variants
from harness.draft.checkpoints import Found, read, same_model
from harness.draft.contents import contents, tensor_parallel
from harness.draft.engines import choose
from harness.draft.sweep_file import Draft
from harness.draft.variants import drafted
from harness.errors import ConfigError, HarnessError
from harness.machine import host
from harness.paths import conf_dir, conf_files
from harness.untrusted.names import check_name

POCKET = "pocket"


def draft_of(
    references: Sequence[str], name: str | None, out: Path | None, engine: str | None, data: str | None, force: bool
) -> tuple[Draft, Path]:
    """Return the draft, and where it goes. Raises HarnessError for what cannot be compared, or is there already."""
    if len(set(references)) < 2:
        raise HarnessError("one checkpoint: name the dense model and at least one quantized form of it")
    found = [read(reference) for reference in dict.fromkeys(references)]
    base, others = _baseline(found)
    same_model([base, *others])
    sweep = name or (out.stem if out else _slug(base.name))
    path = out or Path("conf").absolute() / "sweep" / f"{sweep}.yaml"
    _check_place(path, sweep, force)
    baseline, *rest = drafted([base, *others], variants())
    chosen = choose([baseline, *rest], engine)
    context = base.context if base.context and base.context < (chosen.max_model_len or 0) else None
    root, reason = _data(data)
    memory = min((gpu["memory_gib"] for gpu in host.gpus() if gpu["memory_gib"]), default=None)
    gpus = 0 if chosen.device not in ("cuda", "rocm") else tensor_parallel(base.size_bytes, memory)
    draft = Draft(
        name=sweep,
        sweep=path.stem,
        flags=_flags(path),
        baseline=baseline,
        others=tuple(rest),
        engine=chosen,
        contents=contents(base.parameters, base.context, chosen),
        context=context,
        gpus=gpus,
        data=root,
        data_reason=reason,
        base_model=_base_model(base),
    )
    return draft, path


def _baseline(found: Sequence[Found]) -> tuple[Found, list[Found]]:
    dense = [checkpoint for checkpoint in found if checkpoint.is_dense]
    if not dense:
        said = ", ".join(f"{checkpoint.name} ({checkpoint.method or '2:4 sparse'})" for checkpoint in found)
        raise HarnessError(f"no dense checkpoint among these: {said}; name the model that they were made from too")
    if len(dense) > 1:
        said = ", ".join(checkpoint.name for checkpoint in dense)
        raise HarnessError(f"{len(dense)} dense checkpoints: {said}; a study has one baseline, leave the others out")
    return dense[0], [checkpoint for checkpoint in found if checkpoint is not dense[0]]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "study"


def _check_place(path: Path, name: str, force: bool) -> None:
    check_name("name", name, "a folder under results/ and reports/")
    if path.suffix != ".yaml" or path.absolute().parent.name != "sweep":
        raise ConfigError(f"--out {path}: a sweep is a .yaml file in a folder named sweep, like conf/sweep/{name}.yaml")
    known = conf_files("sweep").get(path.stem)
    if known and known.resolve() != path.resolve():  # which Hydra would take in its place
        raise ConfigError(f"--out {path}: conf/sweep/{path.name} is a sweep already; choose another name")
    if path.exists() and not force:
        raise ConfigError(f"{path} exists already; choose another --name or --out, or overwrite it with --force")


def _flags(path: Path) -> str:
    """Sweeps in conf/, of the project or of the working directory, are found; others with --config-dir."""
    folder = path.absolute().parent.parent
    found = (conf_dir(), Path("conf").absolute())
    return "" if folder.resolve() in [each.resolve() for each in found] else f"--config-dir {folder} "


def _data(asked: str | None) -> tuple[str | None, str]:
    if asked == POCKET:
        return POCKET, "the project's own items: they are no benchmark's, and its scores are not comparable"
    if asked:
        return str(Path(asked).expanduser().resolve()), "a local mirror"
    if offline_reason():
        return POCKET, "no hub within reach; remove this line where one is: pocket items are no benchmark's"
    return None, ""


def _base_model(base: Found) -> str | None:
    """The hub id that a local dense checkpoint says it is, where its config.json does."""
    said = base.files.config.name_or_path if base.files and not base.on_hub else None
    return said if said and re.fullmatch(r"[\w.-]+/[\w.-]+", said) else None

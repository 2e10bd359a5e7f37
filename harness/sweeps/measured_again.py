"""Why a re-run measures cells that the store already has under another fingerprint: one line for each reason."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from harness.records.cell import PlannedCell
from harness.records.store import Store
from harness.redaction.masked_data import mask_data

NOW_CONTENT = "identity of the checkpoint is now its content"
NOW_TOKENIZER = "identity of the tokenizer is now the content of its files"
NOW_COMMIT = "identity of a checkpoint on the hub is now its commit"
NOW_DATA_COMMIT = "identity of data on the hub is now its commit"
NOW_BUILD = "identity of an endpoint is now also the build that its server tells (/version, /v1/models)"
VARIANTS = 4  # named in a line
LABELS = {
    "engine": "the engine or its settings",
    "engine_args": "the engine arguments of the variant",
    "host": "the machine",
    "scenario": "the scenario or its text",
    "point": "the load point",
    "limits": "load's time limits",
    "search": "the capacity search",
}
# Of what a checkpoint is made from, in any version
IDENTITIES = ("content", "hub", "commit", "revision", "weights", "gguf", "bytes", "pypi", "missing", "code")
NESTED = ("from", "as_it_is", "weights")  # where it is in an identity


def measured_again(cells: Iterable[PlannedCell], store: Store) -> list[str]:
    """Return lines like `the engine or its settings changed: 12 cells of bf16 are measured again`."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for cell in cells:
        earlier = None if cell.fingerprint in store else _latest(cell.key, store)
        if earlier is not None and (reasons := list(dict.fromkeys(_reasons(earlier, mask_data(cell.inputs))))):
            counted[", and ".join(reasons)][cell.variant] += 1
    return [f"{reason}: {_words(variants)} measured again" for reason, variants in counted.items()]


def _latest(key: str, store: Store) -> Mapping[str, Any] | None:
    """Return what was fingerprinted of the last cell of this key; None for none that can be read."""
    records = [record for record in store.of_key(key) if record.inputs]
    return max(records, key=lambda record: record.started_at).inputs if records else None


def _reasons(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[str]:
    changed = [name for name in {**before, **now} if _plain(before.get(name)) != _plain(now.get(name))]
    if not changed:
        yield "this version of the harness measures them in another way"
    for name in changed:
        old, new = before.get(name), now.get(name)
        if name in ("weights", "tokenizer", "judge", "model"):
            yield from _of_checkpoint(name, old, new)
        elif name == "suite":
            yield from _of_suite(old, new)
        elif name == "files":
            yield "files that the engine's arguments name have changed"
        elif name == "repositories":
            yield "repositories that the engine's arguments name have another commit"
        elif name == "build":
            yield from _of_build(old, new)
        elif name in ("answers", "reference"):
            yield "the answers to judge are measured again"
        else:
            yield f"{LABELS.get(name, name)} changed"


def _of_checkpoint(name: str, old: Any, new: Any) -> Iterable[str]:
    """Tell the old form of an identity from a change of what it identifies."""
    old_origin, new_origin = _origin(old), _origin(new)
    what = {"weights": "checkpoint", "judge": "judge's checkpoint"}.get(name, name)
    if {"weights", "gguf"} & old_origin.keys() and "content" in new_origin:
        yield NOW_TOKENIZER if name == "tokenizer" else NOW_CONTENT
    elif "commit" in new_origin and "commit" not in old_origin and old_origin.get("hub") == new_origin.get("hub"):
        yield NOW_COMMIT
    elif old_origin != new_origin and {"content", "commit"} & new_origin.keys():
        on_hub = "hub" in new_origin and old_origin.get("hub") == new_origin["hub"]
        yield f"the {what} has {'another commit' if on_hub else 'other content'}"
    elif name == "judge" and (old_build := _build(old)) != (new_build := _build(new)):
        yield from (f"judge: {reason}" for reason in _of_build(old_build, new_build))
    elif name == "judge":
        yield "the judge or its settings changed"
    else:
        yield f"the {what} or the recipe that makes it changed"


def _build(judge: Any) -> Any:
    return judge.get("build") if isinstance(judge, Mapping) else None


def _of_build(old: Any, new: Any) -> Iterable[str]:
    if not old:
        yield NOW_BUILD
    elif new:
        changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        yield "the server's build changed: " + ", ".join(
            f"{key} {_told(old, key)} -> {_told(new, key)}" for key in changed
        )
    else:
        yield "the server's build is not known"


def _told(build: Mapping[str, Any], key: str) -> Any:
    return build.get(key, "unknown")


def _origin(identity: Any) -> dict[str, Any]:
    """Return the identity of what a checkpoint is made from, without how."""
    while isinstance(identity, Mapping):
        inner = next((identity[key] for key in NESTED if isinstance(identity.get(key), Mapping)), None)
        if inner is None:
            return {key: identity[key] for key in IDENTITIES if key in identity}
        identity = inner
    return {}


def _of_suite(old: Any, new: Any) -> Iterable[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        changed = [key for key in {**old, **new} if _plain(old.get(key)) != _plain(new.get(key))]
        if changed == ["data"] or changed == ["text"]:
            named = old[changed[0]].get("digest") if isinstance(old[changed[0]], Mapping) else old[changed[0]]
            yield NOW_DATA_COMMIT if "/" in str(named) else "the data of the suite changed"
            return
    yield "the settings of the suite changed"


def _plain(value: Any) -> Any:
    """Compare as JSON does: a tuple is a list."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def _words(variants: Counter[str]) -> str:
    total = sum(variants.values())
    named = list(variants)[:VARIANTS]
    more = f" and {len(variants) - VARIANTS} more" if len(variants) > VARIANTS else ""
    return f"{total} cell{'s' if total > 1 else ''} of {', '.join(named)}{more} {'are' if total > 1 else 'is'}"

"""Command-line settings as the user means them, rewritten before Hydra reads them.

Hydra and OmegaConf know the type of a setting only when they apply it. `prepare_overrides` looks at the schema first:

    sweep=quickstart                  an error that says what to type: +sweep=quickstart
    ~judge                            judge=null: an optional setting cannot be deleted, only unset
    engine.version=0.10               engine.version="0.10": a text stays as typed, also with commas or colons in it
    variants.v.recipe.smoothing.strength=0.8
                                      makes `smoothing` first, in case it is null: OmegaConf cannot set a key in it
                                      (omry/omegaconf#1280); a merge of {} changes nothing where it is not null

The result of a second pass is that of the first.
"""

import re
import shlex
from dataclasses import dataclass, fields
from typing import Any, get_args, get_origin, get_type_hints

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from harness.config.schema import Config
from harness.errors import ConfigError, did_you_mean
from harness.paths import GROUPS
from harness.sweeps.composing.setting_types import is_optional, is_optional_block, plain, types_of

LISTS = ("variant", "suite", "scenario")  # groups of which several are chosen
FLAGS = {"--fresh": "fresh=true"}
NULL_BLOCKS, PRESENT = "null_blocks", "present"  # null_blocks/judge=present merges {judge: {}}; compose.register
ELEMENT = re.compile(  # of a list or dict: up to a comma that is not inside quotes or ${}
    r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\$\{[^{}]*\}|\\.|[^,"'\\])+""", re.DOTALL
)
KEYED = {  # (key and colon, white space, value, white space) of an element, by the bracket
    "[": re.compile(r"()(\s*)(.*?)(\s*)", re.DOTALL),
    "{": re.compile(r"([^:]*:)?(\s*)(.*?)(\s*)", re.DOTALL),
}
SETTING = re.compile(r"(?P<prefix>\+\+|\+|~)?(?P<key>[^\s=+~]+)(?:=(?P<value>.*))?", re.DOTALL)


@dataclass(frozen=True)
class Setting:
    """One argument of the command line: PREFIX KEY [= VALUE]."""

    prefix: str  # "", +, ++ or ~
    key: str
    value: str | None  # None: no "="

    def __str__(self) -> str:
        return f"{self.prefix}{self.key}" + ("" if self.value is None else f"={self.value}")

    @property
    def parts(self) -> list[str]:
        return self.key.split(".")


def prepare_overrides(overrides: list[str], sweeps: list[str]) -> list[str]:
    """`sweeps`: the names that +sweep= may have. Raises ConfigError for an argument that sets nothing."""
    prepared: list[str] = []
    chosen = [value for value in map(_sweep, overrides) if value]
    if len(chosen) > 1:
        raise ConfigError(f"one sweep at a time: {', '.join(f'+sweep={name}' for name in chosen)}; keep one")
    for index, override in enumerate(overrides):
        setting = _read(override)
        if setting is None:
            prepared.append(override)  # Hydra says what is wrong with it
            continue
        _check(setting, overrides[index + 1 :], sweeps)
        setting = _text(_unset(setting))
        prepared += [made for made in _blocks(setting, prepared) if made not in prepared]
        prepared.append(str(_free_form(setting)))
    return prepared


def prepare_arguments(arguments: list[str], sweeps: list[str]) -> list[str]:
    """A whole command line, with Hydra's flags where they were. Raises ConfigError as `prepare_overrides` does."""
    arguments = [FLAGS.get(argument, argument) for argument in arguments]
    parsed, unknown = get_args_parser().parse_known_args(arguments)
    for flag in unknown:
        setting = _read(flag.lstrip("-"))
        if setting and setting.key == "sweep":
            _check(setting, parsed.overrides, sweeps)
        if setting and (known := types_of(key := setting.key.replace("-", "_"))):
            is_switch = any(bool in (kind, *get_args(kind)) for kind in known)
            value = setting.value or ("true" if is_switch else "VALUE")
            raise ConfigError(f"cannot read {flag!r} on the command line; type {key}={value}")
    given = parsed.overrides
    at = next((n for n, argument in enumerate(arguments) if argument in given), len(arguments))
    flags = [argument for argument in arguments[at:] if argument not in given]
    return [*arguments[:at], *prepare_overrides(given, sweeps), *flags]


def root_blocks() -> list[str]:
    """Optional blocks of the root, like `judge`: a merge of {} must come from a config group, they have no parent."""
    return [name for name, annotation in get_type_hints(Config).items() if is_optional_block(annotation)]


def typed_in_shell(key: str, value: str) -> str:
    """KEY=VALUE with the value quoted for Hydra and all of it for the shell."""
    return shlex.quote(f"{key}={_quoted(value)}")


def ambiguous(override: str) -> str:
    """What to type instead of a setting with commas, which Hydra takes for several runs."""
    setting = _read(override)
    if setting is None or setting.value is None:
        return f"cannot read {override!r} on the command line; write KEY=VALUE"
    key, value = f"{setting.prefix}{setting.key}", setting.value
    found, listed = types_of(setting.key), shlex.quote(f"{key}=[{value}]")
    if key in LISTS or (found and all(get_origin(plain(annotation)) is list for annotation in found)):
        return f"cannot read {override!r} on the command line; write a list in brackets: {listed}"
    if setting.key in GROUPS or (found and all(plain(annotation) in (int, float, bool) for annotation in found)):
        return f"cannot read {override!r} on the command line: {key} has one value; run the command once for each"
    text = typed_in_shell(key, value)
    return f"cannot read {override!r} on the command line; for a text with commas, type {text}, for a list {listed}"


def _read(override: str) -> Setting | None:
    match = SETTING.fullmatch(override)
    return Setting(match["prefix"] or "", match["key"], match["value"]) if match else None


def _sweep(override: str) -> str | None:
    """The sweep that an argument chooses."""
    setting = _read(override)
    return setting.value if setting and (setting.prefix, setting.key) == ("+", "sweep") else None


def _check(setting: Setting, following: list[str], sweeps: list[str]) -> None:
    """What looks like a setting, and Hydra would ignore, or refuse in its own words."""
    key, value, root = setting.key, setting.value, setting.parts[0].partition("@")[0]
    known = [entry.name for entry in fields(Config)]
    if key in sweeps and value is None:
        raise ConfigError(f"cannot read {str(setting)!r} on the command line; to run that sweep, type +sweep={key}")
    if root == "sweep" and (setting.prefix != "+" or not value):
        name = next((name for name in [value, *following] if name in sweeps), None)
        hint = f"+sweep={name}" if name else f"+sweep=NAME; available: {', '.join(sweeps)}"
        raise ConfigError(f"cannot read {str(setting)!r} on the command line; to choose a sweep, type {hint}")
    if root in (*GROUPS, *known, "hydra") or "/" in root:
        return
    if value in sweeps:
        raise ConfigError(f"unknown key {key!r}; to choose a sweep, type +sweep={value}")
    if setting.prefix.startswith("+"):  # Hydra would add it, and nothing would read it
        raise ConfigError(f"unknown key {key!r}{did_you_mean(root, sorted({*known, *GROUPS}))}")


def _unset(setting: Setting) -> Setting:
    if setting.prefix == "~" and setting.value is None and any(map(is_optional, types_of(setting.key))):
        return Setting("", setting.key, "null")
    return setting


def _text(setting: Setting) -> Setting:
    """Quote what a setting of type str would lose: a number's zeros, a comma; in lists and dicts of str, numbers."""
    value, annotations = (setting.value or "").strip(), types_of(setting.key)
    if annotations and all(plain(a) in (list[str], dict[str, str]) for a in annotations) and value[:1] in ("[", "{"):
        return Setting(setting.prefix, setting.key, _with_texts(value))
    if not annotations or not all(plain(a) is str for a in annotations):
        return setting
    if not value or value[0] in "\"'[{" or "${" in value or value == "???":
        return setting
    read = _parsed(f"{setting.key}={value}")
    if isinstance(read, str) or read is None:
        return setting
    return Setting(setting.prefix, setting.key, _quoted(value))


def _with_texts(value: str) -> str:
    """Return a list or dict of texts with its numbers quoted. Elements that are quoted already stay as typed."""
    if value[-1] != {"[": "]", "{": "}"}[value[0]]:
        return value  # Hydra says what is wrong with it

    def keep(match: re.Match[str]) -> str:
        element = KEYED[value[0]].fullmatch(match[0])
        if element is None:
            return match[0]
        key, before, text, after = element.groups(default="")
        number = isinstance(_parsed(f"x={text}"), int | float)
        return key + before + (_quoted(text) if number else text) + after

    return value[0] + ELEMENT.sub(keep, value[1:-1]) + value[-1]


def _blocks(setting: Setting, before: list[str]) -> list[str]:
    """Overrides that make every optional block on the way to the setting; they change nothing where it is there."""
    if setting.prefix == "~" or setting.value is None:
        return []
    parts = setting.parts if setting.value.lstrip().startswith("{") else setting.parts[:-1]
    depths = [n for n in range(1, len(parts) + 1) if any(map(is_optional_block, types_of(".".join(parts[:n]))))]
    made = []
    if depths[:1] == [1]:
        block, depths = parts[0], depths[1:]
        if f"{block}=null" in before:
            raise ConfigError(f"{block}=null and {setting} contradict each other; leave one of them out")
        made.append(f"+{NULL_BLOCKS}/{block}={PRESENT}")
    if depths:
        first, last = depths[0] - 1, depths[-1]
        made.append(f"{'.'.join(parts[:first])}={_nested(parts[first:last])}")
    elif dicts := _free_form_parents(setting):
        made.append(f"{dicts[0]}={{}}")  # an error where no such dict is
    return made


def _nested(parts: list[str]) -> str:
    return f"{{{parts[0]}: {_nested(parts[1:])}}}" if parts else "{}"


def _free_form(setting: Setting) -> Setting:
    """A key of a dict with keys of the user's own needs no + in front, nor does the dict: slo={itl_ms_p99: 50}."""
    return Setting("++", setting.key, setting.value) if _free_form_parents(setting) or _is_dict(setting) else setting


def _is_dict(setting: Setting) -> bool:
    """Whether values are given to a dict below the root."""
    given = (setting.value or "").startswith("{") and not setting.prefix and len(setting.parts) > 2
    found = types_of(setting.key) if given else []
    return bool(found) and all(get_origin(plain(annotation)) is dict for annotation in found)


def _free_form_parents(setting: Setting) -> list[str]:
    """Dicts below the root that the setting is a key of, outermost first; none where a + says it already."""
    paths = [".".join(setting.parts[:depth]) for depth in range(2, len(setting.parts))]
    dicts = [path for path in paths if (found := types_of(path)) and all(get_origin(plain(a)) is dict for a in found)]
    return [] if setting.prefix or dicts[-1:] != paths[-1:] else dicts


def _parsed(override: str) -> Any:
    """The value that Hydra reads; the error where it cannot."""
    try:
        return OverridesParser.create().parse_override(override).value()
    except (HydraException, ValueError) as error:
        return error


def _quoted(value: str) -> str:
    """In double quotes, as Hydra's grammar reads them: a backslash is special before a quote and at the end only."""
    escaped = re.sub(r'(\\*)"', lambda match: 2 * match[1] + '\\"', value)
    return '"' + re.sub(r"(\\+)$", lambda match: 2 * match[1], escaped) + '"'

"""How a configuration names layers: the engines' rules, each compiled to a predicate of a layer's name.

exact       the whole name                                     vLLM fp8, fbgemm_fp8, modelopt; compressed-tensors
substring   anywhere in the name                               vLLM awq, gptq, modelopt; SGLang
components  one part of the dotted name, or its first parts    vLLM bitsandbytes
globs       shell patterns, the whole name                     modelopt, TensorRT-LLM
regexes     from the start of the name                         compressed-tensors `re:`, GPTQModel `dynamic`
converted   a prefix as a regex, or a suffix                   transformers (should_convert_module)
classes     the class of a module                              compressed-tensors
"""

import fnmatch
import re
from collections.abc import Callable, Iterable
from functools import cache

from harness.untrusted.patterns import Pattern

Predicate = Callable[[str], bool]

WRAPPERS = re.compile(r"^(?:(?:model|language_model|text_model|transformer)\.)+")
PREFIXES = ("", "model.", "language_model.", "model.language_model.", "language_model.model.")
FUSED = {  # what an engine merges into one layer: a configuration may give the merged name
    **dict.fromkeys(("q_proj", "k_proj", "v_proj"), "qkv_proj"),
    **dict.fromkeys(("gate_proj", "up_proj"), "gate_up_proj"),
    **dict.fromkeys(("q_a_proj", "kv_a_proj_with_mqa"), "fused_qkv_a_proj"),
    **dict.fromkeys(("w1", "w3"), "w13"),
    **dict.fromkeys(("in_proj_qkv", "in_proj_z"), "in_proj_qkvz"),
    **dict.fromkeys(("in_proj_b", "in_proj_a"), "in_proj_ba"),
}
EXPERTS = re.compile(r"^(.*?\.experts)(?:\.|$)")
SEEN_CLASSES = re.compile(r"(?:linear|expert|moe|lmhead|attention|embedding|norm)", re.IGNORECASE)
LM_HEAD = re.compile(r"^(?:.*\.)?lm_head$")
FEW = 64  # patterns; above it slices of a name are looked up in a set: lists may name each of 18,000 experts


def every(_name: str) -> bool:
    return True


def lm_head(name: str) -> bool:
    return LM_HEAD.match(name) is not None


def exact(patterns: Iterable[str]) -> Predicate:
    return frozenset(patterns).__contains__


def exact_or_experts(patterns: Iterable[str]) -> Predicate:
    """vLLM's is_layer_skipped: an engine has one layer for all experts of a block, so naming one of them names all."""
    names = frozenset(patterns)
    experts = [pattern for pattern in names if "experts" in pattern]

    @cache
    def listed(block: str) -> bool:
        return any(block in pattern for pattern in experts)

    def matches(name: str) -> bool:
        if name in names:
            return True
        block = EXPERTS.match(name)
        return block is not None and listed(block[1])

    return matches


def substring(patterns: Iterable[str]) -> Predicate:
    parts = frozenset(patterns)
    if len(parts) <= FEW:
        return lambda name: any(part in name for part in parts)
    lengths = {len(part) for part in parts}
    return lambda name: any(name[at : at + n] in parts for n in lengths for at in range(len(name) - n + 1))


def components(patterns: Iterable[str]) -> Predicate:
    names = frozenset(patterns)

    def matches(name: str) -> bool:
        parts = name.split(".")
        return bool(names.intersection(parts)) or any(".".join(parts[:n]) in names for n in range(2, len(parts) + 1))

    return matches


def globs(patterns: Iterable[str]) -> Predicate:
    # Lists are long: most of them are names, with a star behind them or without.
    names: list[str] = []
    starts: list[str] = []
    other: list[str] = []
    for pattern in patterns:
        special = set(pattern) & set("*?[")
        kind = names if not special else starts if pattern.find("*") == len(pattern) - 1 and special == {"*"} else other
        kind.append(pattern)
    whole, first, rest = exact(names), tuple(start[:-1] for start in starts), regexes(map(fnmatch.translate, other))
    return lambda name: whole(name) or name.startswith(first) or rest(name)


def regexes(patterns: Iterable[str]) -> Predicate:
    """Raises ValueError for what is no regular expression; the predicate raises SlowPattern where one backtracks."""
    compiled = [Pattern(pattern) for pattern in patterns]
    return lambda name: any(pattern.match(name) for pattern in compiled)


def converted(patterns: Iterable[str]) -> Predicate:
    """A plain name is not read as a pattern, though transformers takes its dots for any character."""
    names = frozenset(patterns)
    special = [name for name in names if set(name) & set("*+?[](){}|^$\\")]
    starts = regexes(rf"(?:{_regex(name)})(?:(?<=\.)|(?=\.|$))" for name in special)

    def matches(name: str) -> bool:
        dots = [at for at, character in enumerate(name) if character == "."]
        if any(name[:end] in names for at in (*dots, len(name)) for end in (at, at + 1)):
            return True
        return starts(name) or any(name[at:] in names for at in range(len(name)))

    return matches


def _regex(pattern: str) -> str:
    try:
        return Pattern(pattern).pattern
    except ValueError:
        return re.escape(pattern)


def named(targets: Iterable[str]) -> Predicate:
    """compressed-tensors' names: exact, or `re:PATTERN`."""
    targets = tuple(targets)
    whole = exact(target for target in targets if not target.startswith("re:"))
    patterns = regexes(target[3:] for target in targets if target.startswith("re:"))
    return lambda name: whole(name) or patterns(name)


def is_class(target: str) -> bool:
    return not target.startswith("re:") and "." not in target and target[:1].isupper()


def classes(targets: Iterable[str]) -> Predicate:
    """`Linear` is every linear layer, fused experts included; a class of experts is their block. Classes of whole
    attention modules hold no weights."""
    found = {target.lower() for target in targets if is_class(target)}
    if any(target.endswith("linear") for target in found):
        return every
    experts = any("expert" in target or "moe" in target for target in found)
    head = any("lmhead" in target for target in found)
    return lambda name: (experts and EXPERTS.match(name) is not None) or (head and lm_head(name))


def unseen_class(target: str) -> bool:
    """A class that may be any layer's: the file does not say."""
    return is_class(target) and not SEEN_CLASSES.search(target)


def matches(layer: str, targets: Iterable[str]) -> bool:
    """compressed-tensors' rules in full: a name, a pattern or a class. Of a recipe's `ignore`."""
    return named(targets)(layer) or classes(targets)(layer)


def aliases(name: str) -> tuple[str, ...]:
    """Names that an engine or another version of transformers has for the layer: other wrappers, merged layers."""
    body = WRAPPERS.sub("", name)
    parent, _, last = body.rpartition(".")
    bodies = [body]
    if last in FUSED:
        bodies.append(f"{parent}.{FUSED[last]}" if parent else FUSED[last])
    return tuple(dict.fromkeys([name, *(prefix + body for body in bodies for prefix in PREFIXES)]))

"""quantization_config in config.json (or ModelOpt's hf_quant_config.json) as Claims: one function a method.

Every method states which rules of matching.py it uses and in which order, as vLLM (0.15 to 0.32), SGLang and
transformers read it. Where they differ there is a reading each. A method that is not known claims nothing of a layer.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

from harness.checkpoints.inspection.claims import Claim, Claims, Reading, Rule
from harness.checkpoints.inspection.formats import block_sides, check_format, grouped_integers, quantization_args
from harness.checkpoints.inspection.matching import (
    Predicate,
    classes,
    components,
    converted,
    every,
    exact,
    exact_or_experts,
    globs,
    is_class,
    lm_head,
    named,
    regexes,
    substring,
    unseen_class,
)
from harness.checkpoints.model_config import ModelConfig
from harness.config.variants import Format
from harness.untrusted.strict_json import JsonObject


def read_claims(config: ModelConfig, modelopt: JsonObject | None = None) -> Claims:
    """Raises AttributeError, LookupError, TypeError or ValueError for a quantization_config of another form."""
    quantization = config.quantization
    if quantization is None and modelopt is not None:
        quantization = {"quant_method": "modelopt", **(modelopt.get("quantization") or {})}
    if not quantization:
        return Claims()
    if isinstance(quantization.get("quantization"), dict):  # hf_quant_config.json inside config.json
        quantization = {**quantization, **quantization["quantization"]}
    method = str(quantization.get("quant_method") or "compressed-tensors").lower()
    if "quant_algo" in quantization:
        method = "modelopt"
    read = METHODS.get(method)
    claims = read(quantization) if read else Claims(method, known=False)
    for _, claim in claims.groups:
        for format in filter(None, (claim.weights, claim.activations)):
            check_format(format)
    return replace(claims, decoder_layers=config.num_hidden_layers, tied=config.tied)


def _names(value: Any) -> tuple[str, ...]:
    """A list of layer names; null is an empty one, and GPTQ's lists of lists are one list."""
    flat = [name for entry in value or () for name in (entry if isinstance(entry, list) else [entry])]
    if isinstance(value, str) or not all(isinstance(name, str) for name in flat):
        raise ValueError(f"{value!r} is no list of layer names")
    return tuple(name for name in flat if name)


def _compressed_tensors(q: JsonObject) -> Claims:
    groups, targets = [], []
    for name, group in (q.get("config_groups") or {}).items():
        if weights := quantization_args(group.get("weights")):
            claim = Claim(weights, quantization_args(group.get("input_activations")), f"config_groups.{name}")
            groups.append((_names(group.get("targets")) or ("Linear",), claim))
            targets += [(target, claim) for target in groups[-1][0]]
    ignore = _names(q.get("ignore"))
    sparsity = q.get("sparsity_config") or {}
    structure = str(sparsity.get("sparsity_structure") or "")
    if q.get("format") == "marlin-24":
        sparsity, structure = {"format": "marlin-24"}, "2:4"
    unpruned, pruned = named(_names(sparsity.get("ignore"))), _names(sparsity.get("targets")) or ("Linear",)
    reached = (named(pruned), classes(pruned))
    return Claims(
        "compressed-tensors",
        tuple(groups),
        ignore,
        "2:4" if structure.lower() in ("2:4", "two_four") else None,
        sparsity.get("format"),
        quantization_args(q.get("kv_cache_scheme")),
        readings=_target_orders(ignore, targets),
        pruned=lambda layer: not unpruned(layer) and any(match(layer) for match in reached),
    )


def _target_orders(ignore: tuple[str, ...], targets: list[tuple[str, Claim]]) -> tuple[Reading, ...]:
    """compressed-tensors (match_targets): names, then patterns, each sorted, then classes. vLLM (find_matched_target):
    names and patterns as they come, then classes."""
    left_out = Rule(named(ignore), None), Rule(classes(ignore), None)

    def reading(ordered: list[tuple[str, Claim]]) -> Reading:
        by_class = [Rule(classes([target]), claim) for target, claim in ordered if is_class(target)]
        return (*left_out, *_by_name(ordered), *by_class)

    by_kind = sorted(targets, key=lambda entry: (entry[0].startswith("re:"), entry[0]))
    unseen = [Rule(every, claim) for target, claim in targets if unseen_class(target)]
    orders = (reading(by_kind), reading(targets))
    return (*orders, (*orders[0], *unseen)) if unseen else orders


def _by_name(ordered: list[tuple[str, Claim]]) -> Iterator[Rule]:
    """Yield one rule for the exact names of a claim, up to the next pattern: targets may be each of 18,000 experts."""
    for is_pattern, run in groupby(ordered, key=lambda entry: entry[0].startswith("re:")):
        if is_pattern:
            yield from (Rule(named([target]), replace(claim, by="pattern")) for target, claim in run)
            continue
        first: dict[str, Claim] = {}
        for target, claim in run:
            first.setdefault(target, claim)
        for claim in {claim.source: claim for claim in first.values()}.values():
            names = [target for target, its in first.items() if its is claim]
            yield Rule(exact(names), replace(claim, by="name"))


def _everywhere(method: str, claim: Claim, ignore: tuple[str, ...], readings: Iterable[Iterable[Rule]],
                **more: Any) -> Claims:  # fmt: skip
    """One format for all linear layers but what the rules of each reading leave out."""
    whole = tuple((*rules, Rule(every, claim)) for rules in readings)
    return Claims(method, ((("Linear",), claim),), ignore, readings=whole, **more)


def _gptq(q: JsonObject) -> Claims:
    """GPTQModel's `dynamic`: the first pattern that matches leaves a layer out (-:) or overrides its settings."""
    source = "quantization_config.bits, group_size"

    def claim(settings: JsonObject, source: str) -> Claim:
        bits, size = int(settings.get("bits", 4)), settings.get("group_size", 128)
        return Claim(grouped_integers(bits, size, bool(settings.get("sym", True))), None, source)

    first = claim(q, source)
    head = () if q.get("lm_head") else (Rule(lm_head, None),)
    listed, dynamic = _names(q.get("modules_in_block_to_quantize")), q.get("dynamic") or {}
    inside = substring(listed) if listed else every
    rules, own = [], []
    for pattern, settings in dynamic.items():
        match = regexes([re.sub(r"^[-+]:", "", pattern)])
        if pattern.startswith("-:") or settings is False:
            rules.append(Rule(match, None))
            continue
        changed = replace(claim({**q, **(settings or {})}, f"quantization_config.dynamic[{pattern!r}]"), by="pattern")
        own.append(((pattern,), changed))
        rules.append(Rule(_both(match, inside), changed))
    reading = (*head, *rules, Rule(inside, first))
    left_out = tuple(pattern for pattern in dynamic if pattern.startswith("-:"))
    groups = ((listed or ("Linear",), first), *own)
    return Claims("gptq", groups, left_out, readings=(reading,), from_files=not listed)


def _both(first: Predicate, second: Predicate) -> Predicate:
    return lambda name: first(name) and second(name)


def _awq(q: JsonObject) -> Claims:
    bits = q["bits"] if "bits" in q else q.get("w_bit", 4)
    size = q.get("group_size", q.get("q_group_size", 128))
    weights = grouped_integers(int(bits), size, not q.get("zero_point", True))
    claim = Claim(weights, None, "quantization_config.bits, group_size")
    ignore = _names(q.get("modules_to_not_convert"))
    head = () if q.get("lm_head") else (Rule(lm_head, None),)
    readings = [(*head, Rule(match(ignore), None)) for match in (substring, converted)]
    return _everywhere("awq", claim, ignore, readings, from_files=not ignore)


def _bitsandbytes(q: JsonObject) -> Claims:
    ignore = _names(q.get("llm_int8_skip_modules"))
    readings = [(Rule(lm_head, None), Rule(match(ignore), None)) for match in (components, converted)]
    if q.get("load_in_4bit"):
        kind = "normal_float" if q.get("bnb_4bit_quant_type", "fp4") == "nf4" else "float"
        return _everywhere("bitsandbytes", Claim(Format(4, kind, "group", 64), None, "load_in_4bit"), ignore, readings)
    activations = Format(8, "int", "token", dynamic=True)
    claim = Claim(Format(8, "int", "channel"), activations, "load_in_8bit")
    return _everywhere("bitsandbytes", claim, ignore, readings)


def _not_converted(ignore: tuple[str, ...]) -> list[Reading]:
    """vLLM's exact names, transformers' prefixes and suffixes, SGLang's substrings; none of them reaches lm_head."""
    return [(Rule(lm_head, None), Rule(match(ignore), None)) for match in (exact_or_experts, converted, substring)]


def _fp8(q: JsonObject) -> Claims:
    block = q.get("weight_block_size")
    weights = Format(8, "float", "block", block=block_sides(block)) if block else Format(8, "float", "tensor")
    dynamic = q.get("activation_scheme", "dynamic") == "dynamic"
    granularity = "group" if block else "tensor"
    activations = Format(8, "float", granularity, block[1] if block else None, dynamic=dynamic)
    ignore = (*_names(q.get("ignored_layers")), *_names(q.get("modules_to_not_convert")))
    claim = Claim(weights, activations, "quantization_config.weight_block_size" if block else "quantization_config")
    return _everywhere("fp8", claim, ignore, _not_converted(ignore))


def _fbgemm(q: JsonObject) -> Claims:
    activations = Format(8, "float", "token", dynamic=True)
    ignore = _names(q.get("modules_to_not_convert"))
    claim = Claim(Format(8, "float", "channel"), activations, "quant_method")
    return _everywhere("fbgemm_fp8", claim, ignore, _not_converted(ignore))


def _mxfp4(q: JsonObject) -> Claims:
    """gpt-oss: its experts alone, whatever is on the list of exceptions; engines quantize no other layer."""
    claim = Claim(Format(4, "float", "group", 32, scale="e8m0"), None, "quant_method", by="pattern")
    ignore = _names(q.get("modules_to_not_convert"))
    rules = (Rule(regexes([r".*\bexperts\b"]), claim),)
    return Claims("mxfp4", ((("experts",), claim),), ignore, readings=(rules,), activations_unsaid=True)


def _modelopt(q: JsonObject) -> Claims:
    """vLLM: exact names, substrings, globs; newer versions read `NAME*` as the module and what is in it."""
    algorithm = str(q.get("quant_algo") or "").upper()
    ignore = _names(q.get("exclude_modules") or q.get("ignore"))
    split = [part for name in ignore
             for part in ([name[:-1], name[:-1] + ".*"] if re.search(r"[^.]\*$", name) else [name])]  # fmt: skip
    cache = Format(8, "float", "tensor") if str(q.get("kv_cache_quant_algo") or "").upper() == "FP8" else None
    fp8, nvfp4 = Format(8, "float", "tensor"), Format(4, "float", "group", int(q.get("group_size") or 16), scale="e4m3")
    if algorithm == "FP8":
        claim = Claim(fp8, Format(8, "float", "tensor"), "quant_algo FP8")
    elif algorithm == "FP8_PER_CHANNEL_PER_TOKEN":
        claim = Claim(
            Format(8, "float", "channel"), Format(8, "float", "token", dynamic=True), f"quant_algo {algorithm}"
        )
    elif algorithm == "NVFP4":
        claim = Claim(nvfp4, Format(4, "float", "group", 16, dynamic=True, scale="e4m3"), "quant_algo NVFP4")
    else:
        return Claims(f"modelopt {algorithm}", known=False, ignore=ignore, kv_cache=cache)
    head = () if ignore else (Rule(lm_head, None),)
    orders = [(*head, *(Rule(match(names), None) for match in (exact_or_experts, substring, globs)))
              for names in (ignore, split)]  # fmt: skip
    orders.append((*head, Rule(exact(ignore), None), Rule(globs(ignore), None)))
    return _everywhere("modelopt", claim, ignore, orders, kv_cache=cache)


METHODS: dict[str, Callable[[JsonObject], Claims]] = {
    "compressed-tensors": _compressed_tensors,
    "gptq": _gptq,
    "awq": _awq,
    "bitsandbytes": _bitsandbytes,
    "fp8": _fp8,
    "fbgemm_fp8": _fbgemm,
    "mxfp4": _mxfp4,
    "modelopt": _modelopt,
}

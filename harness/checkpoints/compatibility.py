"""Can this version of an engine read this checkpoint? Compared before it starts; pure.

A checkpoint from elsewhere was written by some version of transformers and compressed-tensors. An engine with an older
one does not start, or misreads a field without an error. What vLLM can be told is repaired by `--hf-overrides`
(`config_overrides`); the rest is refused with what to do. What is made here needs neither: workers/portable.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from packaging.version import Version

from harness.checkpoints.inspection.problems import Problem
from harness.checkpoints.model_config import ModelConfig
from harness.checkpoints.served_files import ServedFiles
from harness.checkpoints.workers.portable import quantization, rope
from harness.engines.releases import Release
from harness.untrusted.strict_json import JsonObject

CONFIG, TOKENIZER = "config.json", "tokenizer_config.json"
# First compressed-tensors release with a key of QuantizationArgs, and with a storage format.
KEYS = dict.fromkeys(quantization.ARGUMENTS, Version("0")) | dict.fromkeys(("scale_dtype", "zp_dtype"), Version("0.13"))
FORMATS = {
    **dict.fromkeys(("dense", "sparse-bitmask", "sparse-24-bitmask", "marlin-24", "mixed-precision"), Version("0")),
    **dict.fromkeys(("int-quantized", "float-quantized", "naive-quantized", "pack-quantized"), Version("0")),
    "nvfp4-pack-quantized": Version("0"),
    "mxfp4-pack-quantized": Version("0.13"),
    "mxfp8-quantized": Version("0.15"),
}
STRATEGIES = ("tensor", "channel", "group", "block", "token", "tensor_group", "attn_head")
# Strategies that `actorder` may go with, from which release on. From 0.17 on only `group` order needs a group.
ACTORDER = {Version("0"): ("group",), Version("0.14"): ("group", "tensor_group")}
FREE_ACTORDER = Version("0.17")
TOP_LEVEL = ("gemma3_text", "gemma3n_text")  # per layer type, at the top: repaired by `rope_theta: null`


class RopeRepair(NamedTuple):
    overrides: JsonObject  # values for --hf-overrides
    problems: list[Problem]  # what they cannot repair


def config_overrides(files: ServedFiles | None, release: Release | None) -> JsonObject:
    """Values for `--hf-overrides` without which the engine would misread the RoPE of this config.json."""
    if files is None or release is None or release.transformers >= 5:
        return {}
    return _rope(files.config.raw).overrides


def problems(files: ServedFiles | None, release: Release | None, args: Sequence[str] = ()) -> list[Problem]:
    """What this engine cannot read, and as notes what is repaired. `args`: the engine's arguments, of the user."""
    if files is None or release is None:
        return []
    found = [*_architecture(files.config, release), *_tokenizer(files, release, args)]
    if release.transformers < 5:
        rope_repair = _rope(files.config.raw)
        found += rope_repair.problems or _repaired(files.config.raw, rope_repair.overrides, release)
    return [*found, *_quantization(files.config, release)]


def repair_words(overrides: JsonObject) -> str:
    """One line for the plan and the log of a run that passes them."""
    return f"config.json has fields that this engine misreads; --hf-overrides repairs them: {json.dumps(overrides)}"


def _rope(config: JsonObject) -> RopeRepair:
    """Compare each RoPE with what transformers 4 reads: it takes its defaults for what it does not find."""
    overrides: JsonObject = {}
    wrong: list[Problem] = []
    for path, part in _parts(config):
        lacking = _lacking(part)
        if not lacking:
            continue
        nested = rope.is_nested(part[rope.PARAMETERS])
        if nested and not path and part.get("model_type") in TOP_LEVEL:
            overrides["rope_theta"] = None  # vLLM then takes rope_parameters as they are
        elif nested or path not in ((), ("text_config",)):
            where = ".".join((*path, rope.PARAMETERS))
            wrong.append(Problem("misread_rope", CONFIG, f"{where} is a form of transformers 5, and this engine's "
                                 "transformers 4 does not read it", f"add {_words(lacking)} beside it in config.json, "
                                 "or serve it with vllm>=0.20"))  # fmt: skip
        elif path:  # set after vLLM has read the object: both places
            overrides[path[0]] = {**lacking, rope.PARAMETERS: {k: v for k, v in lacking.items() if k in _SHARED}}
        else:
            overrides |= lacking
    return RopeRepair(overrides, wrong)


_SHARED = (rope.THETA, rope.PARTIAL, rope.ORIGINAL)  # under the same name in rope_parameters


def _lacking(part: JsonObject) -> JsonObject:
    """The transformers 4 fields that config.json lacks, or that say another thing than its rope_parameters."""
    fields = rope.legacy_fields(part) or {}
    if part.get(rope.SCALING):  # both versions put it in the place of rope_parameters
        return {}
    lacking = {key: value for key, value in fields.items() if part.get(key) != value}
    if not rope.is_nested(part.get(rope.PARAMETERS) or {}):
        lacking.pop(rope.SCALING, None)  # vLLM has it from rope_parameters
    return lacking


def _parts(config: JsonObject, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], JsonObject]]:
    """Every model configuration with a RoPE of transformers 5, by where it is."""
    if isinstance(config.get(rope.PARAMETERS), dict):
        yield path, config
    for key, value in config.items():
        if isinstance(value, dict) and key != rope.PARAMETERS:
            yield from _parts(value, (*path, key))


def _repaired(config: JsonObject, overrides: JsonObject, release: Release) -> list[Problem]:
    if not overrides:
        return []
    text = ", ".join(_words(_lacking(part)) for _, part in _parts(config) if _lacking(part))
    what = f"{release.label} (transformers 4) does not read rope_parameters of transformers 5 ({text})"
    return [Problem("misread_rope", CONFIG, what, "repaired by --hf-overrides in the server command", "note")]


def _words(fields: JsonObject) -> str:
    return ", ".join(f"{key}: {value}" for key, value in fields.items())


def _tokenizer(files: ServedFiles, release: Release, args: Sequence[str]) -> Iterator[Problem]:
    config = files.tokenizer
    other = any(str(word).partition("=")[0].replace("_", "-").startswith("--tokenizer") for word in args)
    if config is None or release.tokenizers is None or other or "tekken.json" in files.names:
        return
    do = "copy the tokenizer files of its base model into the checkpoint, or add --tokenizer BASE_MODEL to engine_args"
    name = config.tokenizer_class
    if name is not None and not config.has_code and not {name, f"{name}Fast"} & release.tokenizers:
        what = f"tokenizer_class {name} does not exist in transformers 4, which {release.label} uses"
        yield Problem("unreadable_tokenizer", TOKENIZER, what, do)
    if config.lists_extra_tokens:
        what = f"extra_special_tokens is a list, which transformers 4 ({release.label}) cannot read"
        yield Problem("unreadable_tokenizer", TOKENIZER, what, do)


def _architecture(config: ModelConfig, release: Release) -> Iterator[Problem]:
    names, known = config.architectures, release.architectures
    if known is None or not names or any(name in known for name in names):
        return
    name = names[0]
    if config.has_code:
        return  # its own code, with --trust-remote-code
    if name in release.other_architectures or release.transformers >= 5:
        what = f"{name} is not among {release.label}'s own models; its Transformers backend serves it if it can"
        yield Problem("unknown_architecture", CONFIG, what, "watch the engine's log, or use a newer engine", "caution")
        return
    what = f"{release.label} has no model {name}"
    yield Problem("unknown_architecture", CONFIG, what, "serve it with a newer engine")


def _quantization(config: ModelConfig, release: Release) -> Iterator[Problem]:
    found = config.quantization
    if not isinstance(found, dict) or found.get("quant_method", "compressed-tensors") != "compressed-tensors":
        return
    yield from _sparsity(found, release)
    groups = found.get("config_groups")
    named = groups if isinstance(groups, dict) else {}
    schemes = {f"config_groups.{name}": group for name, group in named.items() if isinstance(group, dict)}
    for where, group in {"quantization_config": found, **schemes}.items():
        yield from _format(where, group.get("format"), release)
    arguments = {f"{name}.{key}": g.get(key) for name, g in schemes.items() for key in quantization.SCHEME}
    for where, args in {**arguments, "kv_cache_scheme": found.get("kv_cache_scheme")}.items():
        if isinstance(args, dict) and args:
            yield from _arguments(where, args, release)


def _sparsity(found: JsonObject, release: Release) -> Iterator[Problem]:
    """The 2:4 forms whose kernels a release no longer has."""
    if found.get("format") == "marlin-24" and not release.marlin_24:
        what = f"{release.label} has no kernels for the format marlin-24 (removed in vLLM 0.16)"
        yield Problem("later_format", CONFIG, what, "serve it with engine=vllm_sparse_marlin")
    block = found.get("sparsity_config")
    if not isinstance(block, dict) or not block or release.sparsity_config:
        return
    if not block.get("targets") and block.get("format", "dense") == "dense":
        what = f"{release.label} ignores a sparsity_config without targets: its zeros run as dense values"
        yield Problem("sparsity_config", CONFIG, what, "serve it with engine=vllm_sparse for 2:4 kernels", "caution")
        return
    what = f"{release.label} refuses a checkpoint with sparsity_config (2:4 kernels were removed in vLLM 0.19)"
    do = "serve it with engine=vllm_sparse"
    if block.get("format", "dense") == "dense":
        do += ", or remove sparsity_config from config.json: its zeros then run as dense values"
    yield Problem("sparsity_config", CONFIG, what, do)


def _format(where: str, name: Any, release: Release) -> Iterator[Problem]:
    if name is not None and FORMATS.get(str(name), Version("999")) > release.compressed_tensors:
        yield _later(where, f"the format {name}", release)


def _arguments(where: str, args: JsonObject, release: Release) -> Iterator[Problem]:
    version = release.compressed_tensors
    for key in sorted(key for key in args if KEYS.get(key, Version("999")) > version):
        yield _later(where, f"the key {key}", release)
    strategy, order = quantization.strategy_of(args), args.get("actorder")
    if strategy not in STRATEGIES:
        what = f"the strategy {strategy}" if args.get("strategy") else f"group_size {args.get('group_size')!r}"
        yield _later(where, what, release)
    allowed = next(names for first, names in reversed(ACTORDER.items()) if version >= first)
    free = version >= FREE_ACTORDER and str(order).lower() in quantization.BY_WEIGHT
    if order not in (None, False) and strategy not in allowed and not free:
        what = f"{where}: {_compressed(release)} refuses actorder {order} with strategy {strategy}"
        do = "set actorder to null in config.json: it only ordered the calibration, and the weights are the same"
        yield Problem("later_format", CONFIG, what, do)


def _later(where: str, what: str, release: Release) -> Problem:
    do = "serve it with a newer engine, or compress it again with a recipe"
    return Problem("later_format", CONFIG, f"{where}: {_compressed(release)} does not know {what}", do)


def _compressed(release: Release) -> str:
    return f"compressed-tensors {release.compressed_tensors} ({release.label})"

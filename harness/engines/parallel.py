"""Parallel sizes among the arguments of a server, under vLLM's and SGLang's flags, and the GPUs that they take."""

import re
from collections.abc import Sequence
from math import prod
from typing import Any

from harness.config.deployments import PARALLEL, axes_of
from harness.config.schema import Config
from harness.config.variants import Variant

SIZES = {"--tensor-parallel-size": "tensor_parallel", "--data-parallel-size": "replicas",
         "--pipeline-parallel-size": "pipeline_parallel"}  # fmt: skip
SHORT = {
    name.format(short): f"--{long}-parallel-size"
    for short, long in (("tp", "tensor"), ("pp", "pipeline"), ("dp", "data"))
    for name in ("-{}", "--{}-size")  # vLLM's, SGLang's
}


def parallel_sizes(arguments: Sequence[Any]) -> dict[str, int]:
    """{"tensor_parallel" | "replicas" | "pipeline_parallel": size} that engine arguments set; the last one counts."""
    found: dict[str, int] = {}
    words = [str(word) for word in arguments]
    for position, word in enumerate(words):
        name, equals, value = word.partition("=")
        value = value if equals else (words[position + 1] if position + 1 < len(words) else "")
        if (axis := SIZES.get(SHORT.get(name, name))) and value.isdecimal():
            found[axis] = int(value)
    return found


def gpus_of(config: Config, variant: Variant) -> int:
    """As the sweep says; else tensor x pipeline x data parallel size, of the axes before the engine's arguments."""
    if variant.gpus is not None:
        return variant.gpus
    sizes = parallel_sizes((*config.engine.args, *variant.engine_args))
    sizes |= {axis: value for axis, value in axes_of(variant).given().items() if axis in PARALLEL}
    return max(1, prod(sizes.values()))


def clash(arguments: Sequence[str], deployed: Sequence[str]) -> str | None:
    """The first flag of `deployed` that a variant's own `arguments` set too."""

    def flags(words: Sequence[str]) -> dict[str, str]:
        names = [str(word).partition("=")[0] for word in words if str(word).startswith("-")]
        return {re.sub(r"^--no-", "--", SHORT.get(name, name)): name for name in names}

    own = flags(arguments)
    return next((own[name] for name in flags(deployed) if name in own), None)

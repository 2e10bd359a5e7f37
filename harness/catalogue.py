"""Print the variants of conf/variant as a Markdown table.

    harness catalogue
    harness catalogue --write README.md

With --write the table replaces the lines between the README's two markers.
"""

import sys
from pathlib import Path

from harness.config.catalogue import variants
from harness.config.schemes import needs_words, scheme_words
from harness.config.variants import Recipe, Variant
from harness.console.arguments import command_parser
from harness.console.output import masked_main
from harness.errors import HarnessError

BEGIN, END = "<!-- catalogue: python -m harness.catalogue --write README.md -->", "<!-- end of catalogue -->"
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


def updated(readme: str, catalogue: dict[str, Variant]) -> str:
    """The README with today's table. Raises HarnessError where the markers are not."""
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise HarnessError(f"no place for the table; put these two lines where it belongs:\n{BEGIN}\n{END}")
    return f"{head}{BEGIN}\n\n{table(catalogue)}\n\n{END}{tail}"


def main() -> int:
    parser = command_parser("catalogue", __doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table between the markers of this file")
    arguments = parser.parse_args()
    try:
        if arguments.write is None:
            print(table(variants()))
        else:
            arguments.write.write_text(updated(arguments.write.read_text(), variants()))
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: cannot update {arguments.write}: {error.strerror}; name a Markdown file", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(masked_main(main))

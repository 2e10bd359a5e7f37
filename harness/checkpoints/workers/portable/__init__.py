"""Make a saved checkpoint readable by transformers 4 and 5, and by the compressed-tensors of older engines.

llm-compressor needs transformers 5; vLLM up to 0.19 needs transformers 4, which refuses (tokenizer classes,
quantization arguments) or silently misreads (RoPE) what transformers 5 writes. Every checkpoint made by the harness is
therefore written in a form that both read. Such a form exists for every field that is known to differ, so one
checkpoint serves all engines. A value that has no older form (a newer number format) is kept, and preflight refuses an
engine that cannot read it (harness/checkpoints/compatibility).

Runs inside the compression environment, after saving. Standard library, and huggingface_hub for a source on the hub.
"""

import json
from pathlib import Path

from . import quantization, rope, tokenizer


def save_tokenizer(loaded, source: str, revision: str | None, out: Path) -> None:
    """Write the source's tokenizer files, or where it has none, what `loaded` saves; both in the portable form."""
    if not tokenizer.copy_from(source, revision, out):
        loaded.save_pretrained(out)
    tokenizer.make_readable(out)


def make_config_readable(out: Path) -> None:
    path = out / "config.json"
    config = rope.both_forms(renamed(json.loads(path.read_text(encoding="utf-8"))))
    if isinstance(config.get("quantization_config"), dict):
        config["quantization_config"] = quantization.readable(config["quantization_config"])
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


# Fields that transformers 5 renamed and for which transformers 4 takes its default: model type -> {old: new}.
RENAMED = {"qwen3_moe": {"num_experts": "num_local_experts"}, "qwen3_vl_moe_text": {"num_experts": "num_local_experts"}}


def renamed(config: dict) -> dict:
    """`config`, and every model configuration in it, with renamed fields under their old names too."""
    found = {key: renamed(value) if isinstance(value, dict) else value for key, value in config.items()}
    for old, new in RENAMED.get(str(config.get("model_type")), {}).items():
        if new in found:
            found.setdefault(old, found[new])
    return found

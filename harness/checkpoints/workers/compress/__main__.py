"""Compress a checkpoint with llm-compressor: one-shot smoothing, pruning and quantization.

Runs inside the compression environment, never inside the harness:
    python workers/compress SPEC.json OUT_DIR
SPEC: the fields of harness.config.Recipe, those that are set, and `model` (directory or hub id), `revision` (of a hub
id), `dtype` (bfloat16 | float32: what the model computes in; what is left unquantized is written as BF16 all the same).
What cannot be made ends with one line that says why, before any weights are written.
"""

import json
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import calibration
import modifiers
import pruning

sys.path.append(str(Path(__file__).parents[1]))  # what the workers share
import portable


def main() -> None:
    spec, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    calibrated = spec.get("calibration")
    torch.manual_seed(calibrated["seed"] if calibrated else 0)
    source = {"pretrained_model_name_or_path": spec["model"], "revision": spec.get("revision") or "main"}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=getattr(torch, spec.get("dtype", "bfloat16")))
    tokenizer = AutoTokenizer.from_pretrained(**source)
    steps = modifiers.build(spec, model)
    if not calibrated and any(step.requires_calibration_data for step in steps):
        wanting = ", ".join(type(step).__name__ for step in steps if step.requires_calibration_data)
        raise SystemExit(f"{wanting} measures activations: set the recipe's calibration")
    sparsity = spec.get("sparsity")
    layers = pruning.prunable(model, spec["ignore"]) if sparsity else {}
    if sparsity and sparsity["method"] == "magnitude":
        pruning.by_magnitude(layers, sparsity["pattern"])
    with TemporaryDirectory() as saved:
        # Before the hours of calibration, so that a tokenizer that cannot be saved fails early.
        portable.save_tokenizer(tokenizer, spec["model"], spec.get("revision"), Path(saved))
        compress(model, tokenizer, steps, layers, spec, out)
        shutil.copytree(saved, out, dirs_exist_ok=True)


def compress(model, tokenizer, steps: list, layers: dict, spec: dict, out: Path) -> None:
    """Calibrate, quantize and save the weights and config.json."""
    import torch
    from llmcompressor import oneshot

    calibrated, sparsity = spec.get("calibration"), spec.get("sparsity")
    if steps:
        oneshot(model=model, recipe=steps, **(calibration.arguments(calibrated, tokenizer) if calibrated else {}))
    block = None
    if sparsity:  # before saving, which packs the weights
        pruning.check(layers, sparsity["pattern"])
        block = pruning.sparsity_config(model, layers, sparsity["pattern"])
    if model.dtype == torch.float32:
        narrow(model)
    model.save_pretrained(out)
    finish(out / "config.json", spec, block if sparsity and sparsity["write_config"] else None)


def narrow(model) -> None:
    """Cast what is not quantized to BF16.

    A quantized layer keeps its FP32 weights and scales until saving has packed it: with rounded scales its largest
    integers would be off by one.
    """
    import torch

    for module in model.modules():
        if not hasattr(module, "quantization_scheme"):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(torch.bfloat16)


def finish(path: Path, spec: dict, block: dict | None) -> None:
    """Refuse a recipe that matched no layer, add the sparsity_config, and write what older engines read too."""
    config = json.loads(path.read_text())
    if spec.get("quantization") and "quantization_config" not in config:
        raise SystemExit("the recipe quantized nothing: config.json has no quantization_config")
    if block:
        unquantized = {"quant_method": "compressed-tensors", "format": "dense", "config_groups": {}, "ignore": []}
        config.setdefault("quantization_config", unquantized)["sparsity_config"] = block
        path.write_text(json.dumps(config, indent=2, sort_keys=True))
    portable.make_config_readable(path.parent)


if __name__ == "__main__":
    main()

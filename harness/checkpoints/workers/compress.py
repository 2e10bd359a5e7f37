"""Compress a checkpoint with llm-compressor: one-shot pruning and quantization.

Runs inside the compression environment, never inside the harness:
    python compress.py SPEC.json OUT_DIR
SPEC keys: `model` (directory or hub id), `sparsity` (null | {method, pattern}),
`quantization` (null | {method: rtn | gptq, scheme | weights/activations}),
`ignore`, `calibration` ({file | dataset, split, samples, max_tokens, seed}).
"""

import json
import random
import sys
from pathlib import Path


def calibration_texts(calibration: dict, tokenizer) -> list[str]:
    """Instruction dialogues through the chat template; pruning on other text breaks a chat model."""
    if calibration.get("file"):
        rows = [json.loads(line) for line in Path(calibration["file"]).read_text().splitlines() if line.strip()]
    else:
        from datasets import load_dataset

        rows = list(load_dataset(calibration["dataset"], split=calibration["split"]))
    random.Random(calibration["seed"]).shuffle(rows)
    return [tokenizer.apply_chat_template(row["messages"], tokenize=False) for row in rows[: calibration["samples"]]]


def recipe(spec: dict) -> list:
    from llmcompressor.modifiers import pruning, quantization

    modifiers, ignore = [], spec["ignore"]
    if sparsity := spec.get("sparsity"):
        method = {
            "sparsegpt": lambda **kw: pruning.SparseGPTModifier(**kw),
            "wanda": lambda **kw: pruning.WandaPruningModifier(**kw),
        }[sparsity["method"]]
        modifiers.append(method(sparsity=0.5, mask_structure=sparsity["pattern"], ignore=ignore))
    if quant := spec.get("quantization"):
        method = {"rtn": quantization.QuantizationModifier, "gptq": quantization.GPTQModifier}[quant["method"]]
        if quant.get("scheme"):
            modifiers.append(method(targets="Linear", scheme=quant["scheme"], ignore=ignore))
        else:
            group = {"targets": ["Linear"], "weights": quant["weights"], "input_activations": quant.get("activations")}
            modifiers.append(method(config_groups={"group_0": group}, ignore=ignore))
    return modifiers


def verify(spec: dict, out: Path) -> None:
    """A recipe that matched no layer is no error for llm-compressor; for us it is."""
    if spec.get("quantization") and "quantization_config" not in json.loads((out / "config.json").read_text()):
        raise SystemExit("the recipe quantized nothing: config.json has no quantization_config")
    if not spec.get("sparsity"):
        return
    from safetensors import safe_open

    kept, of = map(int, spec["sparsity"]["pattern"].split(":"))
    for path in sorted(out.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a mapping)
                if not name.endswith("_proj.weight"):
                    continue
                full = int((file.get_tensor(name).float().reshape(-1, of) != 0).sum(1).gt(kept).sum())
                if full:
                    raise SystemExit(f"{name} is not {kept}:{of} sparse: {full} groups have more than {kept} values")


def main() -> None:
    spec, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    import torch
    from datasets import Dataset
    from llmcompressor import oneshot
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(spec["model"], dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(spec["model"])
    data = {}
    if calibration := spec.get("calibration"):
        texts = calibration_texts(calibration, tokenizer)
        rows = [
            tokenizer(t, truncation=True, max_length=calibration["max_tokens"], add_special_tokens=False) for t in texts
        ]
        data = {
            "dataset": Dataset.from_list([dict(row) for row in rows]),
            "num_calibration_samples": len(rows),
            "max_seq_length": calibration["max_tokens"],
            "shuffle_calibration_samples": False,
        }
        print(f"calibrating on {len(rows)} dialogues, {sum(len(r['input_ids']) for r in rows)} tokens", flush=True)
    oneshot(model=model, recipe=recipe(spec), **data)
    model.save_pretrained(out, save_compressed=True)
    tokenizer.save_pretrained(out)
    verify(spec, out)


if __name__ == "__main__":
    main()

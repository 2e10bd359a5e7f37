"""Runs inside the compression environment: the compression worker on a random model, for many specs in one process.

    python compress_tiny.py WORKER SPECS.json MODEL_DIR OUT_DIR    -> prints {name: null | why it ended}, as JSON

MODEL_DIR holds a tokenizer; a Llama of one layer and an OLMo 2 (MODEL_DIR/olmo2) are written there. In SPECS the model
of a spec is named relative to MODEL_DIR.
"""

import json
import runpy
import shutil
import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, Olmo2Config, Olmo2ForCausalLM

SIZES = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 1, "max_position_embeddings": 256}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 64}


def write_models(folder: Path) -> None:
    torch.manual_seed(0)
    sizes = {**SIZES, **HEADS, "vocab_size": len(AutoTokenizer.from_pretrained(folder))}
    other = folder / "olmo2"
    shutil.copytree(folder, other)
    LlamaForCausalLM(LlamaConfig(**sizes)).to(torch.bfloat16).save_pretrained(folder)
    Olmo2ForCausalLM(Olmo2Config(**sizes)).to(torch.bfloat16).save_pretrained(other)


def main() -> None:
    worker, specs, folder, out = map(Path, sys.argv[1:5])
    write_models(folder)
    ended = {}
    for name, spec in json.loads(specs.read_text()).items():
        spec_file, home = out / f"{name}.json", out / name
        home.mkdir(parents=True)
        spec_file.write_text(json.dumps({**spec, "model": str(folder / spec.get("model", ""))}))
        sys.argv = [str(worker), str(spec_file), str(home)]
        try:
            runpy.run_path(str(worker), run_name="__main__")
        except SystemExit as error:
            ended[name] = str(error)
        else:
            ended[name] = None
    print("\n" + json.dumps(ended))


if __name__ == "__main__":
    main()

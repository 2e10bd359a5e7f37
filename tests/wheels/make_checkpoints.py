"""Run in the compression environment: write the models that are compressed, then one checkpoint for each spec.

    python make_checkpoints.py WORKER SPECS.json TOKENIZER_DIR OUT_DIR

WORKER is the product's own compression worker. OUT_DIR/dense and OUT_DIR/dense_llama3 are the models: random Llamas of
one layer with the tokenizer of TOKENIZER_DIR, one with a default rotary embedding, one with Llama 3.1's scaled one.
"""

import json
import runpy
import shutil
import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

SIZES = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 2048,
}
ROPES = {"dense": {"rope_type": "default", "rope_theta": 100000.0}, "dense_llama3": LLAMA3}


def write_models(tokenizer_dir: Path, out: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    for name, rope in ROPES.items():
        torch.manual_seed(0)
        config = LlamaConfig(**SIZES, vocab_size=len(tokenizer), rope_parameters=rope)
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(out / name)
        for file in [*tokenizer_dir.glob("*token*"), *tokenizer_dir.glob("*.jinja"), *tokenizer_dir.glob("*merges*")]:
            shutil.copy(file, out / name)


def main() -> None:
    worker, specs, tokenizer_dir, out = map(Path, sys.argv[1:5])
    write_models(tokenizer_dir, out)
    sys.path.insert(0, str(worker.parent))
    for name, spec in json.loads(specs.read_text()).items():
        spec_file, home = out / f"{name}.json", out / name
        home.mkdir()
        spec_file.write_text(json.dumps({**spec, "model": str(out / spec["model"])}))
        sys.argv = [str(worker), str(spec_file), str(home)]
        runpy.run_path(str(worker), run_name="__main__")


if __name__ == "__main__":
    main()

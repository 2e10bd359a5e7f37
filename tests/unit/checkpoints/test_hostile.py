"""Hostile files: whatever stands in headers and configurations, the answer is a fault or a HarnessError, in bounds."""

import json
import random

import pytest

from harness.checkpoints.inspection import inspect_checkpoint
from harness.checkpoints.inspection.text import as_data, render
from harness.errors import HarnessError
from tests.unit.checkpoints import built

pytestmark = pytest.mark.slow

VALUES = [
    None,
    True,
    -1,
    0,
    3,
    2**63,
    1.5,
    "",
    "re:(",
    "x",
    [],
    [0],
    [1, 2, 3],
    {},
    {"a": 1},
    "I32",
    "BF16",
    [256, 256],
]
KINDS = ["fp8", "int4_g64", "gptq", "awq", "nvfp4", "mxfp4", "nf4", "llm_int8", "sparse_fp8_bitmask", "fp8_block"]


def mutate(value, rng: random.Random) -> None:
    """Replaces one value somewhere inside."""
    while isinstance(value, dict | list) and value:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = rng.choice(list(keys))
        if not isinstance(value[key], dict | list) or not value[key] or rng.random() < 0.2:
            value[key] = rng.choice(VALUES)
            return
        value = value[key]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", ["header", "config"])
def test_mutated_files_are_faults_never_tracebacks(kind, target, tmp_path):
    folder = built.checkpoint(tmp_path / "c", kind)
    file = folder / ("model.safetensors" if target == "header" else "config.json")
    raw = file.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    for seed in range(25):
        rng = random.Random(f"{kind} {target} {seed}")
        if target == "header":
            value = json.loads(raw[8 : 8 + size])
            mutate(value, rng)
            text = json.dumps(value).encode()
            file.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + size :])
        else:
            value = json.loads(raw)
            mutate(value["quantization_config"], rng)
            file.write_text(json.dumps(value))
        try:
            found = inspect_checkpoint(str(folder), exact=False)
        except HarnessError:
            continue
        assert render(found, found.faults) and json.dumps(as_data(found, found.faults))


def size(value: int) -> bytes:
    return value.to_bytes(8, "little")


JUNK = [b"", b"\x00" * 7, b"\xff" * 64, size(2**62) + b"{}", size(2) + b"[]", size(4) + b"\xff\xfe{}"]


@pytest.mark.parametrize("junk", JUNK)
def test_a_file_that_is_no_safetensors_is_named(junk, tmp_path):
    folder = built.checkpoint(tmp_path / "c", "bf16")
    (folder / "model.safetensors").write_bytes(junk)
    assert "model.safetensors" in str(inspect_checkpoint(str(folder)).errors[0])


@pytest.mark.parametrize(
    "index", ["[]", "{", '{"weight_map": 3}', '{"weight_map": {"a": 5}}', '{"weight_map": {"a": "../x"}}']
)
def test_a_broken_index_is_named(index, tmp_path):
    folder = built.checkpoint(tmp_path / "c", "bf16", shards=2)
    (folder / "model.safetensors.index.json").write_text(index)
    try:
        assert inspect_checkpoint(str(folder)).errors
    except HarnessError as error:
        assert "download" in str(error) or "checkpoint" in str(error)

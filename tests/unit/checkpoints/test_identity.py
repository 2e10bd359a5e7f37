"""What changes the identity of a checkpoint, and so the fingerprint of its cells, and what does not."""

import contextlib
import json
import os
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from harness.checkpoints import source
from harness.checkpoints.file_digests import Digests
from harness.checkpoints.identity import argument_files, content
from harness.checkpoints.prepare import Workshop, identity
from harness.console.progress import make_progress
from harness.engines.environment import EnvironmentConfig
from harness.errors import HarnessError
from harness.records.store import Store
from harness.sweeps import compose
from harness.sweeps.execute import execute
from harness.sweeps.plan import build_plan
from harness.sweeps.prepare import prepare
from harness.sweeps.run import Run
from harness.sweeps.served_session import ServedSession

SHAPE = [256, 256]
RECIPE = {"quantization": {"method": "rtn", "scheme": "FP8_DYNAMIC"}, "ignore": []}


def safetensors(path: Path, values: dict[str, int]) -> None:
    header, data = {}, b""
    for name, byte in values.items():
        raw = bytes([byte]) * (2 * SHAPE[0] * SHAPE[1])
        header[name] = {"dtype": "BF16", "shape": SHAPE, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.fixture
def checkpoint(tmp_path):
    """Two shards with everything that an engine reads beside them."""
    folder = tmp_path / "model"
    (folder / "additional_chat_templates").mkdir(parents=True)
    shards = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for number, shard in enumerate(shards):
        safetensors(folder / shard, {f"layers.{number}.{name}": 1 for name in ("up", "down", "last")})
    texts = {
        "config.json": {"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
        "generation_config.json": {"temperature": 0.6},
        "model.safetensors.index.json": {"weight_map": {"layers.0.up": shards[0], "layers.1.up": shards[1]}},
        "tokenizer.json": {"version": "1.0", "model": {"vocab": {"a": 0}}},
        "tokenizer_config.json": {"chat_template": "{{ messages }}"},
        "added_tokens.json": {"<tool>": 1},
        "adapter_config.json": {"r": 8},
    }
    for name, value in texts.items():
        (folder / name).write_text(json.dumps(value))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "additional_chat_templates" / "tools.jinja").write_text("{{ tools }}")
    (folder / "modeling_own.py").write_text("x = 1\n")
    (folder / "merges.txt").write_text("a b\n")
    safetensors(folder / "adapter_model.safetensors", {"lora_A": 1})
    (folder / "README.md").write_text("a model")
    return folder


def overwrite(path: Path, offset: int, data: bytes) -> None:
    """In place, with the times it had."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def edit(name: str, old: str, new: str):
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def second_shard(folder: Path) -> None:
    safetensors(folder / "model-00002-of-00002.safetensors", {"layers.1.up": 1, "layers.1.down": 2, "layers.1.last": 1})


CHANGES = {
    "weights in the middle of a file": lambda f: overwrite(f / "model-00001-of-00002.safetensors", 200_000, b"\2"),
    "the second shard, same shapes": second_shard,
    "tokenizer": edit("tokenizer.json", '"a"', '"b"'),
    "template in tokenizer_config": edit("tokenizer_config.json", "{{ messages }}", "{{ message }}"),
    "template in its own file": edit("chat_template.jinja", "messages", "message"),
    "another template in its own file": edit("additional_chat_templates/tools.jinja", "tools", "tool"),
    "generation config": edit("generation_config.json", "0.6", "0.7"),
    "added tokens": edit("added_tokens.json", "<tool>", "<toal>"),
    "code": edit("modeling_own.py", "1", "2"),
    "index": edit("model.safetensors.index.json", "layers.0.up", "layers.0.ap"),
    "adapter weights": lambda f: overwrite(f / "adapter_model.safetensors", 100_000, b"\2"),
    "adapter settings": edit("adapter_config.json", "8", "9"),
    "merges": edit("merges.txt", "a b", "b a"),
    "config": edit("config.json", "llama", "llamb"),
    "a new template": lambda f: (f / "chat_template.json").write_text("{}"),
    "a file less": lambda f: (f / "added_tokens.json").unlink(),
    "a file under another name": lambda f: (f / "merges.txt").rename(f / "vocab.txt"),
    "older PyTorch weights beside": lambda f: (f / "pytorch_model.bin").write_bytes(b"\0"),
}
NO_TOKENIZER = {
    name for name in CHANGES if name.startswith(("weights", "the second", "generation", "index", "adapter", "older"))
}


@pytest.fixture
def digests(tmp_path):
    """What is remembered stays from one test step to the next, as between two runs."""
    return lambda: Digests(tmp_path / "cache")


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


@pytest.fixture(scope="module")
def composed():
    return compose.compose_sweep(
        ["+sweep=quickstart", "variant=[bf16,fp16]", "suite=[perplexity]", "scenario=[rag_256_8]", "data.root=pocket",
         "judge=null"]
    )  # fmt: skip


@pytest.fixture
def fingerprints(composed, checkpoint, tmp_path):
    """{cell: fingerprint}; `own`: the checkpoint of the variant fp16."""
    config = replace(composed, model=str(checkpoint), cache_dir=str(tmp_path / "cache"))

    def planned(own: Path | None = None) -> dict[str, str]:
        fp16 = replace(config.variants["fp16"], checkpoint=str(own) if own else None)
        cells = build_plan(prepare(replace(config, variants=config.variants | {"fp16": fp16}))).cells
        return {cell.key: cell.fingerprint for cell in cells}

    return planned


@pytest.mark.parametrize("change", CHANGES)
def test_every_cell_of_a_changed_checkpoint_is_another(checkpoint, fingerprints, change):
    before = fingerprints()
    CHANGES[change](checkpoint)
    after = fingerprints()
    assert before.keys() == after.keys() and not set(before.values()) & set(after.values())


@pytest.mark.parametrize("change", CHANGES)
def test_other_checkpoints_depend_on_the_dense_models_tokenizer_alone(checkpoint, fingerprints, tmp_path, change):
    """It cuts every prompt, whatever checkpoint a variant has."""
    own = shutil.copytree(checkpoint, tmp_path / "own")
    before = {key: value for key, value in fingerprints(own).items() if key.startswith("fp16/")}
    CHANGES[change](checkpoint)
    changed = {key for key, value in fingerprints(own).items() if before.get(key, value) != value}
    assert changed == (set() if change in NO_TOKENIZER else before.keys())


def test_what_a_compressed_checkpoint_is_made_from_counts(checkpoint, tmp_path):
    """The key of the compression cache: a merged adapter must not meet the checkpoint made before it was merged."""
    workshop = Workshop(EnvironmentConfig("none"), tmp_path / "cache", tmp_path / "log", print)
    before = workshop.location(str(checkpoint), RECIPE)
    CHANGES["weights in the middle of a file"](checkpoint)
    assert workshop.location(str(checkpoint), RECIPE) != before


@pytest.fixture
def fake_tool(tmp_path):
    """Stands for the compression environment's Python: writes a checkpoint."""
    tool = tmp_path / "tool"
    tool.write_text('#!/bin/sh\necho "{}" > "$3/config.json"; head -c 64 /dev/zero > "$3/model.safetensors"\n')
    tool.chmod(0o755)
    return EnvironmentConfig(python=str(tool))


def test_a_made_checkpoint_that_somebody_edits_is_refused(checkpoint, tmp_path, fake_tool):
    """Its cells are known by what it was made from."""

    def prepare():
        return Workshop(fake_tool, tmp_path / "cache", tmp_path / "log", print).prepare(str(checkpoint), RECIPE)

    made = prepare()
    assert prepare() == made
    overwrite(Path(made.location) / "model.safetensors", 32, b"\1")
    with pytest.raises(HarnessError, match=r"has changed since it was made; remove the folder"):
        prepare()
    shutil.rmtree(made.location)
    assert prepare() == made


def test_local_calibration_data_counts_by_content(checkpoint, tmp_path, digests):
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.jsonl").write_text("{}")
    recipe = RECIPE | {"calibration": {"dataset": str(data), "samples": 8}}
    before = identity(str(checkpoint), recipe, EnvironmentConfig("none"), digests())
    assert identity(str(checkpoint), recipe, EnvironmentConfig("none"), digests()) == before
    (data / "train.jsonl").write_text("{ }")
    assert identity(str(checkpoint), recipe, EnvironmentConfig("none"), digests()) != before


def test_a_checkpoint_that_changes_after_planning_is_not_measured(composed, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = replace(composed, model=str(checkpoint), cache_dir=str(tmp_path / "cache"), suites={})
    prepared = prepare(config)
    plan = build_plan(prepared)
    session = next(session for session in plan.sessions if session.variant == "bf16")
    monkeypatch.setattr(Run, "ready_environment", lambda run: None)
    monkeypatch.setattr("harness.sweeps.served_session.admitted", lambda *_: None)
    store, progress = Store(tmp_path / "results"), make_progress("plain")
    run = Run(prepared, plan, store, progress, lambda cell: 1.0)
    assert ServedSession(run, session).prepare().digest == session.cells[0].inputs["weights"]["content"]
    started = []

    @contextlib.contextmanager
    def serve(*_):
        started.append(checkpoint)
        CHANGES["tokenizer"](checkpoint)  # while the engine loads
        yield None

    monkeypatch.setattr(ServedSession, "serve", serve)
    for _ in range(2):  # and before it is started
        with store.locked():
            failed = execute(run)
        assert all("has changed since the sweep was planned; run the command again" in said for said in failed.values())
        assert failed.keys() == {cell.key for cell in plan.cells} and len(started) == 1
        run.failed = {}


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

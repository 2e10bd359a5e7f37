"""Which 2:4 checkpoint meets sparse kernels on which engine."""

from types import SimpleNamespace

import pytest

from harness.checkpoints.inspection.claims import Claim, Claims
from harness.config import Format
from harness.engines.kernels import no_sparse_kernel, wants_sparsity_config

W8 = Format(8, "float", "channel")
A8 = Format(8, "float", "token", dynamic=True)
INT4 = Format(4, "int", "group", 128)


def checkpoint(weights=W8, activations=A8, format="dense", sparsity="2:4", sparse24=True):
    groups = ((("Linear",), Claim(weights, activations, "group_0")),) if weights else ()
    claims = Claims("compressed-tensors", groups, sparsity=sparsity, sparsity_format=format)
    return SimpleNamespace(sparse24=sparse24, claims=claims)


def engine(version="0.18.1", device="cuda", kind="vllm"):
    return {"kind": kind, "version": version, "device": device}


CASES = [
    (engine(), checkpoint(), None),
    (engine(), checkpoint(weights=None), None),  # 2:4 BF16
    (engine(), checkpoint(format="sparse-24-bitmask"), None),
    (engine("0.19.0"), checkpoint(), "removed in 0.19.0"),
    (engine("0.32.0"), checkpoint(), "removed in 0.19.0"),
    (engine(device="cpu"), checkpoint(), "no 2:4 kernels for cpu"),
    (engine(kind="llamacpp"), checkpoint(), "llamacpp 0.18.1 has no 2:4 kernels"),
    (engine(), checkpoint(sparsity=None, format=None), "no sparsity_config"),
    (engine(), checkpoint(INT4, None), "not weight-only"),
    (engine(), checkpoint(Format(8, "float", "block", block=[128, 128])), "no scales per block"),
    (engine("0.15.1"), checkpoint(INT4, None, "marlin-24"), None),
    (engine("0.18.1"), checkpoint(INT4, None, "marlin-24"), "removed in 0.16.0"),
    (engine("nightly"), checkpoint(), "cannot be read"),
    (engine("0.32.0"), checkpoint(sparse24=False), None),
]


@pytest.mark.parametrize(("facts", "found", "said"), CASES)
def test_sparse_kernels_are_where_engine_and_checkpoint_allow_them(facts, found, said):
    reason = no_sparse_kernel(facts, found)
    assert (reason is None) if said is None else said in reason


@pytest.mark.parametrize(("configured", "wants"), [
    (engine(), True), (engine("0.19.0"), False), (engine("0.32.0"), False), (engine(device="cpu"), False),
    (engine(""), False), (engine(kind="simulated"), False),
])  # fmt: skip
def test_the_block_is_written_for_the_engines_that_look_for_it(configured, wants):
    assert wants_sparsity_config(SimpleNamespace(**configured)) is wants


def test_an_engine_without_a_version_does_not_want_it():
    assert wants_sparsity_config(SimpleNamespace(kind="endpoint")) is False

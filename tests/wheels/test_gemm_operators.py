"""The operators that the GEMM worker times exist with the parameters that it passes (gemm_worker/gemm_kernels.py)."""

import re

import pytest

from tests.wheels.cases import answers
from tests.wheels.expected import HOME

PASSED = {  # positional parameters in the worker's order
    "cutlass_scaled_mm": ["a", "b", "scale_a", "scale_b", "out_dtype"],
    "cutlass_sparse_compress": ["a"],
    "cutlass_scaled_sparse_mm": ["a", "bt_nzs", "bt_meta", "scale_a", "scale_b", "out_dtype"],
}
SPARSE = {"cutlass_sparse_compress", "cutlass_scaled_sparse_mm"}  # in vLLM up to 0.18.1
KEYWORDS = {
    "aten::_scaled_mm": {"scale_a", "scale_b", "out_dtype", "use_fast_accum"},
    "aten::_int_mm": set(),
    "aten::_cslt_compress": set(),
    "aten::_cslt_sparse_mm": {"alg_id", "out_dtype", "transpose_result"},
    "aten::_cslt_sparse_mm_search": {"out_dtype", "transpose_result"},
}
WITH_SPARSE = ("vllm_sparse", "vllm_sparse_marlin")


@pytest.mark.parametrize("engine", list(HOME))
def test_functions_of_vllm(engine, check):
    check(engine, HOME[engine], "operators of vLLM")
    found = answers(engine, HOME[engine])["operators"]
    for name, passed in PASSED.items():
        if name in SPARSE and engine not in WITH_SPARSE:
            assert found["schemas"][f"_C::{name}"] is None, "this wheel has no 2:4 kernels"
            continue
        assert found["functions"][name][: len(passed)] == passed
        assert found["schemas"][f"_C::{name}"], f"{name} is compiled into the wheel"


@pytest.mark.parametrize("engine", list(HOME))
def test_operators_of_torch(engine, check):
    check(engine, HOME[engine], "operators of torch")
    schemas = answers(engine, HOME[engine])["operators"]["schemas"]
    for name, keywords in KEYWORDS.items():
        known = set(re.findall(r"(\w+)(?:=[^,)]*)?[,)]", schemas[name] or ""))
        assert schemas[name] and keywords <= known, schemas[name]

"""What a variant's products are: derived from its scheme, refused by name where there are none."""

import pytest

from harness import catalogue
from harness.config.variants import Format, Scheme
from harness.errors import ConfigError
from harness.gemm.formats import FORMATS, flops, format_of, moved_bytes, weight_bytes
from harness.gemm.hardware import data_sheet
from harness.sweeps.composing import compose

CATALOGUE = catalogue.variants()
DERIVED = {
    "bf16": "bf16",
    "fp16": "fp16",
    "fp32": "fp32",
    "int8_w8a8": "int8",
    "fp8_dynamic": "fp8",
    "fp8_kv": "fp8",  # its cache is no operand
    "sparse24_fp8": "sparse24_fp8",
    "fp8_static": None,
    "fp8_block": None,
    "w4a16": None,
    "sparse24_bf16": None,
}


@pytest.mark.parametrize("name", DERIVED)
def test_the_format_is_that_of_the_scheme(name):
    assert format_of(CATALOGUE[name].scheme) == DERIVED[name]


def test_zero_points_and_stored_scales_are_other_products():
    asymmetric = Scheme(
        Format(8, "int", "channel", symmetric=False), Format(8, "int", "token", symmetric=True, dynamic=True)
    )
    static = Scheme(Format(8, "int", "channel"), Format(8, "int", "token", dynamic=False))
    assert format_of(asymmetric) is None and format_of(static) is None


def test_bytes_by_hand():
    n, k = 256, 128
    assert weight_bytes("bf16", n, k) == 2 * n * k
    assert weight_bytes("fp8", n, k) == n * k + 4 * n
    assert weight_bytes("sparse24_fp8", n, k) == n * k / 2 + n * k / 2 * 2 / 8 + 4 * n  # values, metadata, scales
    assert moved_bytes("bf16", 4, n, k) == 2 * (n * k + 4 * k + 4 * n)
    assert moved_bytes("fp32", 4, n, k) == 4 * (n * k + 4 * k + 4 * n)
    assert moved_bytes("int8", 4, n, k) == (n * k + 4 * n) + (4 * k + 4 * 4) + 2 * 4 * n
    assert flops(4, n, k) == 2 * 4 * n * k
    assert all(moved_bytes(format, 1, n, k) > weight_bytes(format, n, k) for format in FORMATS.values())


@pytest.mark.parametrize(
    ("gpu", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "NVIDIA H100 SXM"),
        ("NVIDIA H200", "NVIDIA H200 SXM"),
        ("NVIDIA A100-SXM4-80GB", "NVIDIA A100 80GB SXM"),
        ("NVIDIA H100 PCIe", None),  # another data sheet
        ("NVIDIA H200 NVL", None),
        ("NVIDIA L4", None),
    ],
)
def test_a_data_sheet_belongs_to_one_form_of_a_gpu(gpu, name):
    found = data_sheet(gpu)
    assert (found and found.name) == name
    if name and "H" in name:
        assert found.peak["sparse24_fp8"] == 2 * found.peak["fp8"] == pytest.approx(4 * found.peak["bf16"], rel=1e-3)


CPU = ["+sweep=gemm", "engine=vllm_cpu", "variant=[bf16,int8_w8a8]"]
WRONG = [
    ("gemm.batch_sizes=[0,8]", "gemm.batch_sizes: 0 is not a number of tokens"),
    ("gemm.batch_sizes=[]", "no suites, scenarios or gemm.batch_sizes"),
    ("gemm.layers=[qkv]", "did you mean 'qkv_proj'"),
    ("gemm.layers=[]", "gemm.layers is empty"),
    ("gemm.repeats=0", "gemm.repeats=0 must be at least 1"),
    ("gemm.tensor_parallel=0", "gemm.tensor_parallel=0 must be at least 1"),
    ("gemm.min_time_ms=0", "gemm.min_time_ms=0"),
    ("gemm.batches=[1]", "unknown key 'gemm.batches'"),
    ("gemm.batch_sizes=[many]", "gemm.batch_sizes"),
    ("variant=[bf16,w4a16]", "variants.w4a16: products of this scheme are not timed (int4, symmetric, group 128"),
    ("variant=[int8_w8a8]", "baseline 'bf16' is not among its variants"),
]


@pytest.mark.parametrize(("change", "said"), WRONG, ids=[change for change, _ in WRONG])
def test_mistakes_are_one_line_that_names_the_setting(change, said):
    with pytest.raises(ConfigError) as raised:
        compose.compose_sweep([*CPU, change])
    assert said in str(raised.value) and "\n" not in str(raised.value)

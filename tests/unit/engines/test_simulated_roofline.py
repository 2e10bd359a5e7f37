"""What a roofline model must say whatever its efficiencies: bytes decide decoding, FLOPs decide prefill."""

import pytest

from harness.engines.simulated.batching import Batch
from harness.engines.simulated.roofline import HARDWARE, OVERHEAD_S, SCHEMES, SHAPES, Roofline, problems

LLAMA = SHAPES["llama-3.1-8b"]


def model(scheme: str, hardware: str = "h100", shape: str = "llama-3.1-8b") -> Roofline:
    return Roofline(HARDWARE[hardware], SHAPES[shape], SCHEMES[scheme])


def decode(sequences: int, context: int = 512) -> Batch:
    return Batch(sequences, sequences, sequences * context, sequences * context)


def prefill(tokens: int) -> Batch:
    return Batch(tokens, 1, tokens, tokens * (tokens + 1) // 2)


def busy_s(roofline: Roofline, batch: Batch) -> float:
    return roofline.step_s(batch) - OVERHEAD_S


def test_shapes_have_the_published_numbers_of_parameters():
    counted = {name: shape.linear_weights + 2 * shape.head_weights for name, shape in SHAPES.items()}
    assert counted["llama-3.1-8b"] == pytest.approx(8.03e9, rel=0.001)
    assert counted["llama-3.1-70b"] == pytest.approx(70.55e9, rel=0.001)
    assert LLAMA.kv_bytes_per_token == 128 * 1024


def test_a_single_decoding_sequence_costs_the_bytes_of_the_weights():
    bf16, fp8 = model("bf16"), model("fp8")
    by_bytes = (LLAMA.linear_weights * 2 + LLAMA.head_weights * 2) / (LLAMA.linear_weights + LLAMA.head_weights * 2)
    assert busy_s(bf16, decode(1)) / busy_s(fp8, decode(1)) == pytest.approx(by_bytes, rel=0.02)
    # 16.1 GB less the embedding, over 80 % of 3.35 TB/s
    assert busy_s(bf16, decode(1, context=1)) == pytest.approx(15.01e9 / (0.8 * 3.35e12), rel=0.001)


def test_sparse_fp8_stores_five_bits_a_weight():
    assert model("sparse_fp8").weight_bytes - 2 * LLAMA.head_weights == pytest.approx(LLAMA.linear_weights * 5 / 8)


def test_gemms_come_out_as_much_faster_as_was_measured_on_hopper():
    rates = {name: model(name).linear_flops_per_s for name in ("bf16", "fp8", "sparse_fp8", "int4")}
    assert rates["fp8"] / rates["bf16"] == pytest.approx(1.9, rel=0.001)
    assert rates["sparse_fp8"] / rates["bf16"] == pytest.approx(2.5, rel=0.001)
    assert rates["int4"] == rates["bf16"], "W4A16 computes in BF16"
    slowest, middle, fastest = (busy_s(model(name), prefill(8192)) for name in ("bf16", "fp8", "sparse_fp8"))
    assert fastest < middle < slowest


def test_a_100_computes_fp8_weights_in_bf16():
    a100 = model("fp8", "a100")
    assert a100.linear_flops_per_s == model("bf16", "a100").linear_flops_per_s
    assert a100.step_s(decode(1)) < model("bf16", "a100").step_s(decode(1))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("batch", [decode, prefill])
def test_more_work_never_takes_less_time(scheme, batch):
    times = [model(scheme).step_s(batch(size)) for size in (1, 2, 8, 64, 256, 1024, 8192)]
    assert times == sorted(times) and times[0] < times[-1]


def test_more_bandwidth_helps_decoding_and_not_prefill():
    h100, h200 = model("bf16", "h100"), model("bf16", "h200")
    assert busy_s(h100, decode(1)) / busy_s(h200, decode(1)) == pytest.approx(4.8 / 3.35)
    assert busy_s(h100, prefill(8192)) == busy_s(h200, prefill(8192))


def test_what_cannot_run_is_named():
    assert problems("h100", "sparse_fp8", "llama-3.1-8b") == []
    [no_kernels] = problems("a100", "sparse_fp8", "llama-3.1-8b")
    assert "A100" in no_kernels and "engine.hardware" in no_kernels
    [no_room] = problems("h100", "bf16", "llama-3.1-70b")
    assert "139 GB" in no_room and "engine.shape" in no_room
    assert problems("h100", "int4", "llama-3.1-70b") == []

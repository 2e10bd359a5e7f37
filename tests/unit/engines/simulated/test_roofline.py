"""What a roofline model must say whatever its efficiencies: bytes decide decoding, FLOPs decide prefill."""

import pytest

from harness.catalogue import variants as catalogue
from harness.config.variants import Format
from harness.config.variants import Scheme as Typed
from harness.engines.simulated.batching import Batch
from harness.engines.simulated.roofline import HARDWARE, OVERHEAD_S, SCHEMES, SHAPES, Roofline, problems
from harness.engines.simulated.schemes import scheme_of

LLAMA = SHAPES["llama-3.1-8b"]


def model(scheme: str, hardware: str = "h100", shape: str = "llama-3.1-8b", degree: int = 1) -> Roofline:
    return Roofline(HARDWARE[hardware], SHAPES[shape], SCHEMES[scheme], degree)


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
    assert counted["llama-3.1-405b"] == pytest.approx(405.9e9, rel=0.001)
    assert counted["llama-2-7b"] == pytest.approx(6.74e9, rel=0.001)
    assert counted["mixtral-8x7b"] == pytest.approx(46.7e9, rel=0.001)
    tied = {name: SHAPES[name].linear_weights + SHAPES[name].head_weights for name in SHAPES if "smollm2" in name}
    assert tied["smollm2-360m"] == pytest.approx(361.8e6, rel=0.001)
    assert tied["smollm2-1.7b"] == pytest.approx(1.711e9, rel=0.001)
    assert model("bf16").kv_bytes_per_token == 128 * 1024


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
    assert problems(model("sparse_fp8")) == []
    [no_kernels] = problems(model("sparse_fp8", "a100"))
    assert "A100" in no_kernels and "engine.hardware to one of h100, h200, b200, l40s" in no_kernels
    [no_room] = problems(model("bf16", shape="llama-3.1-70b"))
    assert "141 GB" in no_room and "it fits 2: set deployments.tensor_parallel=[2]" in no_room
    assert problems(model("bf16", shape="llama-3.1-70b", degree=2)) == []
    assert problems(model("int4", shape="llama-3.1-70b")) == []
    [too_large] = problems(model("bf16", shape="llama-3.1-405b", degree=8))
    assert "812 GB, and 8 x NVIDIA H100 SXM have 640 GB" in too_large and "no node of 8 holds it" in too_large
    assert problems(model("fp8", shape="llama-3.1-405b", degree=8)) == []
    [heads] = problems(model("bf16", shape="smollm2-135m", degree=2))
    assert "9 attention heads" in heads and "it can be 1, 3" in heads


def test_sparse_int8_has_kernels_on_ampere_and_sparse_fp8_has_not():
    typed = Typed(Format(8, "int", "channel"), Format(8, "int", "token", dynamic=True), sparsity="2:4")
    sparse = Roofline(HARDWARE["a100"], LLAMA, scheme_of(typed))
    assert problems(sparse) == []
    assert sparse.linear_flops_per_s == pytest.approx(2.5 * model("bf16", "a100").linear_flops_per_s)


def test_every_variant_of_the_catalogue_has_a_roofline():
    schemes = {name: scheme_of(variant.scheme) for name, variant in catalogue().items()}
    known = {name: (scheme.bits, scheme.compute, scheme.sparse) for name, scheme in schemes.items()}
    assert known["bf16"] == known["fp16"] == (16, "bf16", False)
    assert known["fp8_dynamic"] == known["fp8_static"] == known["fp8_block"] == (8, "fp8", False)
    assert known["sparse24_fp8"] == (5, "fp8", True)
    assert known["sparse24_bf16"] == (9, "bf16", True)
    assert known["sparse24_w4a16"] == (3 + 16 / 128, "bf16", True)
    assert known["w4a16"] == (4.125, "bf16", False)
    assert known["w4a8_fp8"] == (4.125, "fp8", False), "INT4 weights are widened to FP8"
    assert known["mxfp4"] == (4.25, "fp4", False) and known["nvfp4"] == (4.5, "fp4", False)
    assert known["nf4"][1] == "bf16" and known["llm_int8"] == known["int8_w8a8"] == (8, "int8", False)
    assert schemes["sparse24_fp8"] == SCHEMES["sparse_fp8"] and schemes["int8_w8a8"] == SCHEMES["int8"]
    assert schemes["w4a16"] == SCHEMES["int4"] and schemes["bf16"] == SCHEMES["bf16"]


def test_fp4_is_computed_in_bf16_before_blackwell():
    scheme = scheme_of(catalogue()["nvfp4"].scheme)
    h100, b200 = HARDWARE["h100"], HARDWARE["b200"]
    assert scheme.linear_flops_per_s(h100) == SCHEMES["bf16"].linear_flops_per_s(h100)
    assert scheme.linear_flops_per_s(b200) == pytest.approx(1.9**2 * SCHEMES["bf16"].linear_flops_per_s(b200))


def test_activations_that_no_tensor_core_multiplies_are_refused():
    with pytest.raises(ValueError, match="activations in int4"):
        scheme_of(Typed(Format(4, "int", "channel"), Format(4, "int", "token", dynamic=True)))


def test_tensor_parallelism_divides_the_work_and_adds_all_reduces():
    one, two, eight = (model("bf16", degree=degree) for degree in (1, 2, 8))
    alone = decode(1, context=1)
    reduce_s = two.reduce_s(1)
    message_s = 4096 * 2 / (0.8 * 450e9)  # 2 (n - 1) / n is 1 for two GPUs
    assert reduce_s == pytest.approx(2 * 32 * (10e-6 + message_s)) and one.reduce_s(1) == 0
    assert busy_s(two, alone) - reduce_s == pytest.approx(busy_s(one, alone) / 2)
    assert eight.kv_bytes_per_token == one.kv_bytes_per_token / 8
    assert eight.kv_cache_tokens > 8 * one.kv_cache_tokens, "the weights' share of each GPU shrinks"
    pcie = model("bf16", "a6000", degree=4)
    assert pcie.reduce_s(4096) / pcie.step_s(prefill(4096)) > 0.4, "PCIe eats much of the gain of a long prefill"
    assert pcie.reduce_s(4096) > 10 * model("bf16", degree=4).reduce_s(4096)


def test_keys_and_values_are_copied_beyond_the_kv_heads():
    smol = [Roofline(HARDWARE["h100"], SHAPES["smollm2-135m"], SCHEMES["bf16"], degree) for degree in (3, 9)]
    assert smol[0].kv_bytes_per_token == smol[1].kv_bytes_per_token


def test_an_fp8_cache_holds_twice_as_much():
    bf16, fp8 = (Roofline(HARDWARE["h100"], LLAMA, SCHEMES["bf16"], kv_bits=bits) for bits in (16.0, 8.0))
    assert fp8.kv_cache_tokens == pytest.approx(2 * bf16.kv_cache_tokens, abs=1)
    assert busy_s(fp8, decode(64, 4096)) < busy_s(bf16, decode(64, 4096))


def test_a_mixture_reads_more_experts_as_the_batch_grows():
    mixtral = SHAPES["mixtral-8x7b"]
    experts = [(mixtral.read_weights(n) - mixtral.attention_weights) / mixtral.expert_weights for n in (1, 2, 64)]
    assert experts[0] == pytest.approx(2) and experts[1] == pytest.approx(3.5) and experts[2] == pytest.approx(8, 1e-6)
    assert mixtral.active_weights + 2 * mixtral.head_weights == pytest.approx(12.9e9, rel=0.005)
    times = [model("fp8", shape="mixtral-8x7b").step_s(decode(n)) for n in (1, 2, 4, 8, 64)]
    assert times == sorted(times)
    dense = model("fp8")
    assert dense.shape.read_weights(1) == dense.shape.linear_weights

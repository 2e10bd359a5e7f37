"""What vLLM's log says about layers, kernels, attention and the KV cache. The lines are those of the real wheels."""

import json
import logging.config
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.checkpoints.inspection.claims import Claims
from harness.config.variants import Format, Scheme, Variant
from harness.engines import Server
from harness.engines.layer_names import compact, expand
from harness.engines.vllm import Vllm, VllmConfig
from harness.engines.vllm_log import DEBUG_LOGGERS, logging_config, read_log
from harness.records.engine_facts import EngineFacts
from harness.sweeps.kinds import KINDS
from harness.sweeps.measuring.engine_flags import engine_flags

LAYERS = [f"model.layers.{n}.{kind}" for n in range(2)
          for kind in ("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj")]  # fmt: skip
SPARSE, FP8 = "CompressedTensors24", "CompressedTensorsW8A8Fp8"
HEAD = "(EngineCore_DP0 pid=71) DEBUG 11-30 09:13:25 "
INFO = "(EngineCore_DP0 pid=71) INFO 11-30 09:13:25 "
ENGINE = (  # abridged
    INFO + "[core.py:101] Initializing a V1 LLM engine (v0.18.1) with config: model='/m', speculative_config=None, "
    "dtype=torch.bfloat16, quantization={}, enforce_eager=False, kv_cache_dtype={}, device_config=cuda"
)
SELECTOR = (
    HEAD + "[cuda.py:276] Some attention backends are not valid for cuda with AttentionSelectorConfig(head_size=128, "
    "dtype=torch.bfloat16, kv_cache_dtype={}, block_size=None, use_mla=False, has_sink=False, use_sparse=False, "
    "use_mm_prefix=False, use_per_head_quant_scales=False, attn_type=AttentionType.DECODER). Reasons: {{}}."
)
ATTENTION = (
    INFO + "[cuda.py:317] Using FLASH_ATTN attention backend out of potential backends: ['FLASH_ATTN', 'FLASHINFER', "
    "'TRITON_ATTN', 'FLEX_ATTENTION']."
)


def scheme_lines(scheme, layers=LAYERS):
    return [f"{HEAD}[compressed_tensors.py:759] Using scheme: {scheme} for {layer}" for layer in layers]


def engine_line(quantization="compressed-tensors", cache="auto"):
    return ENGINE.format(quantization, cache)


@pytest.fixture
def facts(tmp_path):
    """facts(lines, capability) -> what the record holds"""

    def read(*lines, capability=9.0, device="cuda"):
        (tmp_path / "log").write_text("\n$ python -m vllm\n" + "\n".join(lines) + "\n")
        started = EngineFacts("vllm", device, version="0.18.1")
        return read_log(started, tmp_path / "log", capability).to_json()

    return read


def flags(facts, scheme, kind="load", inspection=None, **variant):
    server = Server("http://127.0.0.1:1", "v", None, EngineFacts.from_json(facts))
    found = engine_flags(KINDS[kind].times, server, "vllm", inspection, Variant("V", scheme, **variant))
    return {flag.code: flag for flag in found}


A8 = Format(8, "float", "token", dynamic=True)
SPARSE_FP8 = Scheme(Format(8, "float", "channel"), A8, "2:4")
SPARSE_BF16 = Scheme(sparsity="2:4")
NVFP4 = Scheme(
    Format(4, "float", "group", 16, scale="e4m3"), Format(4, "float", "group", 16, dynamic=True, scale="e4m3")
)
W8A8 = Scheme(Format(8, "float", "channel"), A8)


def test_every_layer_is_counted_once_and_named_briefly(facts):
    found = facts(*scheme_lines(SPARSE), *scheme_lines(SPARSE), ATTENTION, SELECTOR.format("auto"), engine_line())
    assert found["schemes"] == {
        SPARSE: {
            "layers": 8,
            "names": [f"model.layers.0-1.{kind}" for kind in ("self_attn.qkv_proj", "self_attn.o_proj",
                                                              "mlp.gate_up_proj", "mlp.down_proj")],
        }
    }  # fmt: skip
    assert found["attention"] == ["FLASH_ATTN"]
    assert (found["kv_cache_dtype"], found["quantization"]) == ("auto", "compressed-tensors")
    assert "no_sparse_kernel" not in flags(found, SPARSE_FP8) and "kernel_unknown" not in flags(found, SPARSE_FP8)


def test_only_the_last_start_counts(tmp_path):
    log = tmp_path / "log"
    log.write_text("\n".join(["", "$ vllm", *scheme_lines(SPARSE), "", "$ vllm", *scheme_lines(FP8)]))
    started = EngineFacts("vllm", "cuda")
    assert set(read_log(started, log).schemes) == {FP8}
    assert read_log(started, tmp_path / "nowhere") == started


def test_2_4_weights_that_ran_dense_are_flagged_by_count(facts):
    """0.18.1 with a sparsity_config without targets, with the structure two_four, or with activations per group."""
    flag = flags(facts(*scheme_lines(FP8), engine_line()), SPARSE_FP8)["no_sparse_kernel"]
    assert flag.level == "caution"
    assert "8 of 8 layers with 2:4 sparse weights ran dense" in flag.message
    assert f"{FP8}: model.layers.0-1.self_attn.qkv_proj" in flag.message
    assert flags(facts(*scheme_lines(FP8)), SPARSE_FP8, "accuracy")["no_sparse_kernel"].level == "note"


def test_layers_that_ran_dense_among_sparse_ones_are_named(facts):
    down = [layer for layer in LAYERS if layer.endswith("down_proj")]
    rest = [layer for layer in LAYERS if layer not in down]
    message = flags(facts(*scheme_lines(SPARSE, rest), *scheme_lines(FP8, down)), SPARSE_FP8)[
        "no_sparse_kernel"
    ].message
    assert "2 of 8 layers" in message and f"({FP8}: model.layers.0-1.mlp.down_proj)" in message


def test_layers_that_are_not_2_4_in_the_checkpoint_do_not_count(facts):
    down = [layer for layer in LAYERS if layer.endswith("down_proj")]
    found = facts(*scheme_lines(SPARSE, [name for name in LAYERS if name not in down]), *scheme_lines(FP8, down))
    parts = (
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
    )
    layers = [SimpleNamespace(name=f"model.layers.{n}.{part}", sparse24=True) for n in range(2) for part in parts]
    layers += [SimpleNamespace(name=name, sparse24=False) for name in down]
    inspection = SimpleNamespace(layers=layers, sparse24=True, claims=Claims())
    assert "no_sparse_kernel" not in flags(found, SPARSE_FP8, inspection=inspection)
    layers[-1].sparse24 = True
    message = flags(found, SPARSE_FP8, inspection=inspection)["no_sparse_kernel"].message
    assert "1 of 7 layers" in message and "model.layers.1.mlp.down_proj" in message


def test_sparse_marlin_is_sparse(facts):
    scheme = Scheme(Format(4, "int", "group", 128), sparsity="2:4")
    assert not flags(facts(*scheme_lines("CompressedTensorsW4A16Sparse24")), scheme)
    assert not flags(facts(engine_line("gptq_marlin_24")), scheme)
    assert "no_sparse_kernel" in flags(facts(*scheme_lines("CompressedTensorsWNA16")), scheme)


def test_an_engine_that_names_no_scheme_is_unknown_and_never_sparse(facts):
    assert (
        flags({"kind": "endpoint", "version": "unknown", "kernels": []}, SPARSE_FP8)["kernel_unknown"].level
        == "caution"
    )
    assert flags({"kind": "sglang", "kernels": []}, SPARSE_FP8, "accuracy")["kernel_unknown"].level == "note"
    selected = INFO + f"[__init__.py:255] Selected CutlassFP8ScaledMMLinearKernel for {FP8}"
    for lines in ([], [selected], [engine_line(), selected]):
        assert set(flags(facts(*lines), SPARSE_FP8)) == {"kernel_unknown"}
    assert not flags(facts(), W8A8)


@pytest.mark.parametrize("lines", [
    [engine_line("None")],  # --hf-overrides '{"quantization_config": null}'
    [engine_line("fp8")],
    [engine_line(), SELECTOR.format("auto")],  # sparsity_config alone, without targets: DEBUG is on, no scheme is named
])  # fmt: skip
def test_layers_without_a_scheme_ran_dense(facts, lines):
    assert (
        "all layers with 2:4 sparse weights ran dense" in flags(facts(*lines), SPARSE_BF16)["no_sparse_kernel"].message
    )


@pytest.mark.parametrize(("lines", "kernel"), [
    ([INFO + "[nvfp4_utils.py:85] Using NvFp4LinearBackend.MARLIN for NVFP4 GEMM"], "NvFp4LinearBackend.MARLIN"),
    ([INFO + "[compressed_tensors_w4a4_nvfp4.py:66] Using marlin for NVFP4 GEMM"], "marlin"),
    ([INFO + "[__init__.py:1240] Using MarlinNvFp4LinearKernel for NVFP4 GEMM"], "MarlinNvFp4LinearKernel"),
    ([INFO + "[__init__.py:1240] Using HummingNvFp4LinearKernel for NVFP4 GEMM"], "HummingNvFp4LinearKernel"),
    ([INFO + "[__init__.py:1196] Using FlashInferCuteDslNvFp4W4A16LinearKernel for NVFP4 GEMM"], "W4A16LinearKernel"),
    ([INFO + "[nvfp4.py:314] Using MARLIN NvFp4 MoE backend out of potential backends: ['MARLIN']."], "MARLIN"),
    (["WARNING 11-30 [marlin_utils_fp4.py:237] Your GPU does not have native support for FP4 computation but FP4 "
      "quantization is being used. Weight-only FP4 compression will be used leveraging the Marlin kernel. This may "
      "degrade performance for compute-heavy workloads."], "Marlin (weight-only)"),
    (scheme_lines("CompressedTensorsW4A16Fp4"), "8 of 8 layers (CompressedTensorsW4A16Fp4"),
])  # fmt: skip
def test_a_format_whose_activations_stay_in_16_bit_is_flagged(facts, lines, kernel):
    found = facts(*lines)
    for kind in ("load", "accuracy"):
        flag = flags(found, NVFP4, kind)["activations_unquantized"]
        assert flag.level == "caution" and kernel in flag.message and "nvfp4" in flag.message
    weight_only = Scheme(Format(4, "float", "group", 16, scale="e4m3"))
    assert not flags(found, weight_only), "the scheme says 16 bit"


@pytest.mark.parametrize(("line", "flagged"), [
    ("Selected MarlinFP8ScaledMMLinearKernel for CompressedTensorsW8A8Fp8", True),
    ("Selected HummingInt8ScaledMMLinearKernel for CompressedTensorsW8A8Int8", True),
    ("Using MarlinMxfp8LinearKernel for MXFP8 GEMM", True),
    ("Using 'MARLIN' MxFp8 MoE backend.", True),
    ("Using marlin backend for MXFP8 GEMM", True),
    ("Selected CutlassFP8ScaledMMLinearKernel for CompressedTensorsW8A8Fp8", False),
    ("Using FlashInferCutlassNvFp4LinearKernel for NVFP4 GEMM", False),
    ("Using MarlinLinearKernel for CompressedTensorsWNA16", False),  # weight-only by its scheme
    ("Using NewKernelOfTomorrow for NVFP4 GEMM", False),
])  # fmt: skip
def test_kernels_are_judged_where_they_are_known(facts, line, flagged):
    assert ("activations_unquantized" in flags(facts(INFO + "[__init__.py:1] " + line), W8A8)) is flagged


def test_a_slower_kernel_of_some_layers_is_one_entry(facts):
    text = "Layer '{}' is not supported by AWQMarlin. Falling back to unoptimized AWQ kernels."
    lines = [f"WARNING 11-30 [awq_marlin.py:189] {text.format(name)}" for name in LAYERS if name.endswith("down_proj")]
    (entry,) = facts(*lines)["kernels"]
    assert (entry["layer"], entry["kernel"]) == ("model.layers.0-1.mlp.down_proj", "unoptimized AWQ kernels")


def test_int8_that_is_rounded_and_multiplied_in_16_bit_is_an_emulation(facts):
    scheme = Scheme(Format(8, "int", "channel"), Format(8, "int", "tensor"))
    assert "emulated_kernel" in flags(facts(*scheme_lines("CompressedTensorsWNA8O8Int")), scheme)


def test_humming_computes_what_the_gpu_can(facts):
    """Read from vLLM 0.32.0 and humming-kernels 0.1.17."""
    line = INFO + "[__init__.py:1028] Using HummingMxFp4LinearKernel for MXFP4 GEMM"
    scheme = Scheme(
        Format(4, "float", "group", 32, scale="e8m0"), Format(4, "float", "group", 32, dynamic=True, scale="e8m0")
    )
    assert "fp8 e4m3, per token" in flags(facts(line, capability=9.0), scheme)["activations_differ"].message
    assert "int8, per token" in flags(facts(line, capability=8.0), scheme)["activations_differ"].message
    assert set(flags(facts(line, capability=10.0), scheme)) == {"activations_unquantized"}
    assert not flags(facts(line, capability=12.0), scheme)
    ignored = (
        "WARNING 11-30 [humming.py:39] HummingMxFp4LinearKernel is a weight-only (A16) kernel; the requested "
        "activation quantization (QuantKey(f4)) is ignored."
    )
    assert set(flags(facts(ignored, line), scheme)) == {"activations_unquantized"}  # 0.27.1


def test_the_kv_cache_is_what_the_attention_layers_were_built_with(facts):
    kept = Scheme(W8A8.weights, W8A8.activations, kv_cache=Format(8, "float", "tensor"))
    asked_by_checkpoint = facts(engine_line(cache="auto"), SELECTOR.format("fp8"))  # 0.18.1, kv_cache_scheme
    assert asked_by_checkpoint["kv_cache_dtype"] == "fp8" and not flags(asked_by_checkpoint, kept)
    for lines in ([engine_line(cache="auto")], [engine_line(cache="fp8"), SELECTOR.format("bfloat16")]):
        flag = flags(facts(*lines), kept, "accuracy")["kv_cache_unquantized"]
        assert flag.level == "caution" and "fp8 e4m3" in flag.message
    assert not flags(facts(engine_line(cache="auto")), W8A8)
    assert not flags(facts(), kept), "not logged: nothing is said"


def test_the_logging_configuration_is_one_that_python_takes(monkeypatch):
    config = logging_config("0.18.1", {})
    assert all(config["loggers"][name] == {"level": "DEBUG"} for name in DEBUG_LOGGERS)
    assert config["loggers"]["vllm"]["level"] == "INFO"
    assert "vllm_process_name" in logging_config("0.32.0", {})["formatters"]["vllm"]["format"]
    assert "vllm_process_name" not in config["formatters"]["vllm"]["format"], "a field that 0.18.1 does not fill"
    assert "vllm_process_name" not in logging_config("", {})["formatters"]["vllm"]["format"]
    local = json.loads(json.dumps(config))
    local["formatters"] = {name: {"format": "%(levelname)s %(message)s"} for name in local["formatters"]}
    logging.config.DictConfigurator(local)


def test_the_users_own_logging_configuration_stays(tmp_path, monkeypatch):
    def environment(**env):
        return Vllm(VllmConfig(version="0.18.1", env=env), tmp_path).server_env(tmp_path / "logs" / "fp8.log")

    written = environment()["VLLM_LOGGING_CONFIG_PATH"]
    assert json.loads(Path(written).read_text()) == logging_config("0.18.1", {})
    assert "VLLM_LOGGING_CONFIG_PATH" not in environment(VLLM_LOGGING_CONFIG_PATH="/mine.json")
    assert "VLLM_LOGGING_CONFIG_PATH" not in environment(VLLM_CONFIGURE_LOGGING="0"), "vLLM refuses both"
    monkeypatch.setenv("VLLM_LOGGING_CONFIG_PATH", "/mine.json")
    assert "VLLM_LOGGING_CONFIG_PATH" not in environment()


def test_names_are_shortened_and_spelled_out_again():
    names = ["lm_head", *(f"model.layers.{n}.mlp.down_proj" for n in (0, 1, 2, 5, 7, 8)), "visual.blocks.3"]
    assert compact(names) == ["lm_head", "model.layers.0-2,5,7-8.mlp.down_proj", "visual.blocks.3"]
    assert expand(compact(names)) == names

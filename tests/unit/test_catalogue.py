"""The catalogue of variants: typed, complete, and shown in the README as it is."""

from pathlib import Path

import pytest

from harness import catalogue
from harness.config.schemes import bits_per_weight, problems, scheme_words, weight_words, words
from harness.config.variants import Format, Needs, Scheme
from harness.errors import ConfigError
from harness.machine import host
from harness.sweeps.composing import compose
from harness.sweeps.preflight import preflight

README = Path(__file__).parents[2] / "README.md"
ASKED = [
    *("bf16", "fp16", "fp8_dynamic", "fp8_static", "fp8_block", "fp8_kv", "int8_w8a8", "llm_int8", "w4a16"),
    *(
        "w4a16_gptq",
        "w4a16_awq",
        "w4a8_fp8",
        "sparse24_bf16",
        "sparse24_fp8",
        "sparse24_w4a16",
        "nf4",
        "mxfp4",
        "nvfp4",
    ),
]


def test_the_catalogue_has_the_schemes_of_the_field():
    found = catalogue.variants()
    assert set(ASKED) <= set(found)
    for name, variant in found.items():
        assert problems(variant.scheme, variant.needs) == [], name
        assert variant.source, f"{name} names no source"
        made = variant.recipe or variant.engine_args or variant.scheme.weights.bits == 16
        assert made or name == "llm_int8", f"{name} does not say how it is made"


WORDS = [
    (Format(), "bf16"),
    (Format(16, "float"), "fp16"),
    (Format(8, "float", "token", dynamic=True), "fp8 e4m3, per token, dynamic"),
    (Format(8, "float", "tensor"), "fp8 e4m3, per tensor, static"),
    (Format(4, "int", "group", 128), "int4, symmetric, group 128"),
    (Format(4, "int", "group", 128, symmetric=False), "int4, asymmetric, group 128"),
    (Format(4, "float", "group", 32, scale="e8m0"), "mxfp4, group 32"),
    (Format(4, "float", "group", 16, scale="e4m3"), "nvfp4, group 16"),
    (Format(4, "normal_float", "group", 64), "nf4, group 64"),
    (Format(8, "float", "block", block=[128, 128]), "fp8 e4m3, block 128x128"),
]


@pytest.mark.parametrize(("format", "text"), WORDS, ids=[text for _, text in WORDS])
def test_a_format_is_said_in_the_terms_of_the_field(format, text):
    assert words(format) == text


def test_weights_scales_are_static_without_a_word():
    assert weight_words(Format(8, "float", "tensor")) == "fp8 e4m3, per tensor"


def test_bits_per_weight_count_scales_and_zero_points():
    assert bits_per_weight(Format()) == 16
    assert bits_per_weight(Format(4, "int", "group", 128)) == 4.125
    assert bits_per_weight(Format(4, "int", "group", 128, symmetric=False)) == 4.15625
    assert bits_per_weight(Format(4, "float", "group", 16, scale="e4m3")) == 4.5
    assert bits_per_weight(Format(4, "float", "group", 32, scale="e8m0")) == 4.25


def test_the_manifest_holds_text_for_every_part_of_a_scheme():
    said = scheme_words(catalogue.variants()["fp8_kv"].scheme)
    assert said["kv_cache"] == "fp8 e4m3, per tensor, static"
    assert {type(value) for value in said.values()} <= {str, type(None)}


WRONG = [
    ("scheme.weights.type=integer", "did you mean 'int'"),
    ("scheme.weights.granularity=channels", "did you mean 'channel'"),
    ("scheme.weights.group_size=null", "w4a16.scheme.weights.group_size"),
    ("scheme.weights.bit=4", "unknown key"),
    ("scheme.sparsity='1:4'", "2:4"),
    ("needs.cpu=emulate", "did you mean 'emulated'"),
]


@pytest.mark.parametrize(("change", "said"), WRONG)
def test_a_wrong_scheme_is_named(change, said):
    with pytest.raises(ConfigError, match=r"variants\.w4a16\.") as raised:
        compose.compose_sweep(["+sweep=quickstart", f"variants.w4a16.{change}"])
    assert said in str(raised.value)


def test_weights_per_token_do_not_exist():
    assert "weights have no tokens" in problems(Scheme(Format(8, "float", "token")), Needs())[0]


def needs_of(name: str, *overrides: str) -> list[str]:
    baseline = ["variant=[bf16]"] if name == "bf16" else [f"variant=[bf16,{name}]"]
    config = compose.compose_sweep(["+sweep=quickstart", *baseline, *overrides])
    return preflight.needs_problems(config, name)


@pytest.mark.parametrize(
    ("name", "capability", "engine", "said"),
    [
        ("sparse24_fp8", None, "0.32.0", "variant sparse24_fp8 needs compute capability 9.0 to below 10.0 and "
         "vllm>=0.7,<0.19; this machine: none; this engine: vllm 0.32.0"),
        ("sparse24_fp8", 9.0, "0.32.0", "this machine: 9.0; this engine: vllm 0.32.0"),
        ("sparse24_fp8", 9.0, "0.18.1", None),
        ("sparse24_fp8", 10.0, "0.18.1", "9.0 to below 10.0"),
        ("sparse24_bf16", 12.0, "0.15.1", "9.0 to below 10.0"),
        ("nvfp4", 9.0, "0.32.0", None),
        ("mxfp4", 9.0, "0.32.0", None),
        ("nvfp4", 8.9, "0.32.0", "needs compute capability 9.0"),
        ("sparse24_w4a16", 8.0, "0.18.1", "vllm<0.16"),
        ("fp8_dynamic", 8.0, "0.32.0", "needs compute capability 8.9; this machine: 8.0"),
        ("w4a8_fp8", 9.0, "0.32.0", None),
        ("w4a8_fp8", 10.0, "0.32.0", "9.0 to below 10.0"),
        ("nf4", 9.0, "0.32.0", "vllm<0.28"),
        ("bf16", None, "0.32.0", None),
    ],
)  # fmt: skip
def test_needs_are_one_line_with_what_is_here(name, capability, engine, said, monkeypatch):
    gpus = [] if capability is None else [{"name": "GPU", "compute_capability": capability}]
    monkeypatch.setattr(host, "gpus_for", lambda engine: gpus)
    found = needs_of(name, "engine=vllm", f"engine.version={engine}")
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_on_a_cpu_engine_what_runs_there_passes_and_what_does_not_is_named():
    assert needs_of("fp8_dynamic") == needs_of("sparse24_fp8") == needs_of("int8_w8a8") == []
    (said,) = needs_of("nvfp4")
    assert "no kernels on a CPU" in said and "compute capability 9.0" in said


def test_needs_that_cannot_be_read_say_how_to_write_them():
    (said,) = needs_of("fp8_dynamic", "engine=vllm", "variants.fp8_dynamic.needs.engine='vllm 19'")
    assert "write it like 'vllm<0.19'" in said

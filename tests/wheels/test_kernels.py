"""The scheme and the kernel of every layer: as expected, and as the harness reads them from the wheel's log."""

from dataclasses import replace

import pytest

from harness.config.variants import Variant
from harness.engines import Server
from harness.engines.layer_names import expand
from harness.engines.vllm_log import read_log
from harness.records.engine_facts import EngineFacts
from harness.sweeps.composing.compose import compose_sweep
from harness.sweeps.measuring.engine_flags import engine_flags
from tests.wheels import standins
from tests.wheels.cases import answers, built, log_of, name_of, said
from tests.wheels.expected import RUNS, Error

BUILT = [(engine, gpu, form, words) for engine, gpu in RUNS for form, words in built(engine, gpu)]
FORMS = pytest.mark.parametrize(
    "engine,gpu,form,words", BUILT, ids=[f"{e}-{g}-{name_of(f, w)}" for e, g, f, w in BUILT]
)
EXPERTS = ("FusedMoE", "SharedFusedMoE", "RoutedExperts")
VARIANTS = {  # a form's variant, where it is not of the same name
    "smollm2_fp8": "fp8_dynamic", "smollm2_int8": "int8_w8a8", "smollm2_w4a16": "w4a16",
    "smollm2_sparse24_fp8": "sparse24_fp8", "sparse24_fp8_dense": "sparse24_fp8", "sparse24_fp8_unsaid": "sparse24_fp8",
    "sparse24_fp8_no_targets": "sparse24_fp8", "sparse24_fp8_two_four": "sparse24_fp8", "w4a16_asym": "w4a16_awq",
    "marlin24": "sparse24_w4a16", "gptq_marlin24": "sparse24_w4a16",
}  # fmt: skip
PLAIN = ("bf16", "smollm2_bf16", "awq_judge", "sparse24_int8")


def linear_layers(result: dict) -> dict[str, list]:
    """{layer: [class, scheme or method, kernel]} of linear and expert layers, without routers and the output layer."""
    return {
        name: found
        for name, found in result["layers"].items()
        if (found[0].endswith("Linear") or found[0] in EXPERTS) and not name.endswith(".gate")
    }


@FORMS
def test_every_layer_runs_as_expected(engine, gpu, form, words, check):
    check(engine, gpu, f"layers of {form}")
    wanted, result = RUNS[engine, gpu][form], answers(engine, gpu)[name_of(form, words)]
    if isinstance(wanted, Error):
        assert said(result["error"], wanted.says), result["error"]
        return
    assert result["error"] is None
    layers = linear_layers(result)
    assert len(layers) == (6 if "mixtral" in form else 8)  # two decoder layers, projections fused by vLLM
    scheme, kernel = wanted[:2]
    experts = {name for name, found in layers.items() if found[0] in EXPERTS}
    ran = {name: tuple(found[1:]) for name, found in layers.items() if name not in experts}
    if scheme is None:
        assert {found[0] for found in ran.values()} == {"UnquantizedLinearMethod"}
    else:
        assert {found[0] for found in ran.values()} == {scheme}
        assert {found[1] for found in ran.values()} == (kernel if isinstance(kernel, set) else {kernel})
        assert not any("Unquantized" in layers[name][1] for name in experts)


@FORMS
def test_the_log_names_what_the_layers_run(engine, gpu, form, words, check):
    """`read_log` against the objects that vLLM built."""
    if isinstance(RUNS[engine, gpu][form], Error):
        pytest.skip("the wheel refuses it")
    check(engine, gpu, f"log of {form}")
    name = name_of(form, words)
    layers = linear_layers(answers(engine, gpu)[name])
    facts = read_log(EngineFacts("vllm", "cuda"), log_of(engine, gpu, name), float(standins.GPUS[gpu].capability))
    told = {layer: scheme for scheme, entry in facts.schemes.items() for layer in expand(entry.names)}
    if any(found[1].startswith("CompressedTensors") for found in layers.values()):
        assert told == {layer: found[1] for layer, found in layers.items()}
    else:
        assert told == {}
    kernels = {entry.kernel for entry in facts.kernels}
    assert {found[2] for found in layers.values() if found[2]} <= kernels
    assert facts.attention, "the attention backend is named"


@FORMS
def test_flags_follow_from_the_log(engine, gpu, form, words, check):
    if isinstance(RUNS[engine, gpu][form], Error) or form in PLAIN or "mixtral" in form:
        pytest.skip("no variant of the catalogue")
    check(engine, gpu, f"flags of {form}")
    variant = catalogue(VARIANTS.get(form, form))
    name = name_of(form, words)
    facts = read_log(EngineFacts("vllm", "cuda"), log_of(engine, gpu, name), float(standins.GPUS[gpu].capability))
    facts = replace(facts, quantization=answers(engine, gpu)[name]["quantization"] or "none")
    flags = engine_flags(True, Server("http://127.0.0.1:1", "v", facts=facts), "vllm", None, variant)
    assert [flag.code for flag in flags] == list(RUNS[engine, gpu][form][2:])


def catalogue(name: str) -> Variant:
    return compose_sweep(["+sweep=which_compression", "model=any", f"variant=[bf16,{name}]"]).variants[name]

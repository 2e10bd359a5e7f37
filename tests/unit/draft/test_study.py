"""`harness study`: the sweep of checkpoints of every format, composed and planned; what is refused."""

import json
import sys
from pathlib import Path

import pytest

from harness.config.schemes import scheme_words
from harness.draft import checkpoints as reading
from harness.draft import command as study
from harness.draft import drafting, engines
from harness.draft.contents import tensor_parallel
from harness.engines import engine_class
from harness.sweeps.composing.compose import compose_sweep
from harness.sweeps.plan import build_plan
from harness.sweeps.preflight import preflight
from harness.sweeps.prepare import prepare
from tests.unit.checkpoints import built, test_gguf

pytestmark = pytest.mark.slow

SIZES = {"hidden_size": built.HIDDEN, "num_hidden_layers": built.LAYERS, "max_position_embeddings": 2048}


@pytest.fixture
def folder(no_hub, monkeypatch):
    monkeypatch.chdir(no_hub)
    return no_hub


def made(name: str, kind: str, **said) -> str:
    built.checkpoint(Path(name), kind, said=built.config(kind) | SIZES | said)
    return f"./{name}"


def run(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["harness study", *arguments])
    return study.main()


def composed(path: str, *overrides: str):
    place = json.dumps(Path(path).absolute().parent.parent.as_uri())
    return compose_sweep([f"+sweep={Path(path).stem}", f"hydra.searchpath=[{place}]", *overrides])


@pytest.mark.parametrize(
    ("kind", "variant", "engine"),
    [
        ("fp8", "fp8_dynamic", "vllm"),
        ("fp8_static", "fp8_static", "vllm"),
        ("fp8_block", "fp8_block", "vllm"),
        ("int8", "int8_w8a8", "vllm"),
        ("int4_g64", "w4a16", "vllm"),
        ("int4_g128", "w4a16", "vllm"),
        ("gptq", "w4a16", "vllm"),
        ("nvfp4", "nvfp4", "vllm"),
        ("mxfp4", "mxfp4", "vllm"),
        ("sparse_fp8_claimed", "sparse24_fp8", "vllm_sparse"),  # 0.19 and later refuse it
        ("sparse_int4", "sparse24_w4a16", "vllm_sparse_marlin"),
        ("nf4", "nf4", "vllm_bitsandbytes"),
        ("llm_int8", "llm_int8", "vllm_bitsandbytes"),
    ],
)
def test_a_checkpoint_of_each_format_is_a_variant_of_the_catalogue(folder, monkeypatch, capsys, kind, variant, engine):
    monkeypatch.setattr(engines.host, "gpus", lambda: [{"memory_gib": 80.0, "compute_capability": 9.0}])
    dense, quantized = made("Dense", "bf16"), made(f"Dense-{kind}", kind)
    assert run(monkeypatch, quantized, dense, "--out", "conf/sweep/mine.yaml") == 0
    command = "  harness +sweep=mine"  # conf/ of the working directory is found
    assert capsys.readouterr().out.endswith(f"\n\n{command} dry_run=true\n{command}\n")
    config = composed("conf/sweep/mine.yaml")
    assert list(config.variants) == ["bf16", variant] and config.baseline == "bf16"
    assert config.model == str(folder / "Dense") and config.variants[variant].recipe is None
    assert config.variants[variant].checkpoint == str(folder / f"Dense-{kind}")
    read = reading.read(quantized)
    assert scheme_words(config.variants[variant].scheme) == scheme_words(read.scheme)
    chosen = engines._values(engine)
    assert (config.engine.kind, config.engine.version) == (chosen["kind"], str(chosen["version"]))


def test_what_is_written_passes_preflight_as_it_is(folder, monkeypatch, capsys):
    """On a machine without a GPU or a hub: two finished checkpoints, one command, and the sweep starts."""
    monkeypatch.setattr(engines.host, "gpus", list)
    given = [made("Dense", "bf16"), made("Dense-FP8", "fp8"), made("Dense-INT4", "int4_g64")]
    assert run(monkeypatch, *given, "--out", "conf/sweep/mine.yaml") == 0
    config = composed("conf/sweep/mine.yaml", f"cache_dir={folder / 'cache'}", f"results_dir={folder / 'results'}")
    prepared = prepare(config)
    plan = build_plan(prepared)
    kept = [problem for problem in preflight.problems(prepared, plan) if "GB free" not in problem]
    assert kept == []
    assert {session.variant: session.recipe for session in plan.sessions} == dict.fromkeys(
        ("bf16", "fp8_dynamic", "w4a16")
    )
    assert config.data.root == "pocket", "no hub is within reach"
    assert engine_class(config.engine.kind).__name__ == "Vllm" and config.engine.device == "cpu"


def test_two_checkpoints_of_one_scheme_and_one_that_no_variant_has(folder, monkeypatch, capsys):
    monkeypatch.setattr(engines.host, "gpus", lambda: [{"memory_gib": 80.0, "compute_capability": 9.0}])
    unknown = built.compressed_tensors(
        "float-quantized", built.FLOAT8, None
    )  # FP8 weights, activations left as they are
    given = [made("Dense", "bf16"), made("Mine-FP8", "fp8"), made("Their FP8!", "fp8")]
    given.append(made("W8A16", "fp8", quantization_config=unknown))
    assert run(monkeypatch, *given, "--out", "conf/sweep/mine.yaml") == 0
    variants = composed("conf/sweep/mine.yaml").variants
    assert {name: variant.label for name, variant in variants.items()} == {
        "bf16": "BF16",
        "fp8_dynamic": "FP8",
        "their_fp8": "FP8, Their FP8!",
        "w8a16": "FP8",
    }
    assert variants["their_fp8"].scheme == variants["fp8_dynamic"].scheme
    assert variants["their_fp8"].needs == variants["fp8_dynamic"].needs
    assert scheme_words(variants["w8a16"].scheme)["activations"] == "bf16"


def test_gguf_files_are_served_by_llama_cpp(folder, monkeypatch, capsys):
    test_gguf.write(Path("m-F16.gguf"), (1, (64, 64)))
    test_gguf.write(Path("m-Q4_K_M.gguf"), (12, (64, 48)), (14, (64, 16)))
    test_gguf.write(Path("m-Q5_K.gguf"), (13, (64, 64)))
    assert run(monkeypatch, "m-Q4_K_M.gguf", "m-Q5_K.gguf", "m-F16.gguf", "--out", "conf/sweep/mine.yaml") == 0
    config = composed("conf/sweep/mine.yaml")
    assert config.engine.kind == "llamacpp" and config.baseline == "gguf_f16"
    assert list(config.variants) == ["gguf_f16", "gguf_q4_k_m", "m_q5_k"]
    assert config.variants["m_q5_k"].label == "Q5_K"
    assert config.variants["m_q5_k"].scheme.weights.bits == 5 and not config.variants["m_q5_k"].scheme.weights.symmetric


def refused(folder, monkeypatch, capsys, *arguments: str) -> str:
    before = sorted(folder.rglob("*.yaml"))
    assert run(monkeypatch, *arguments) == 2
    assert sorted(folder.rglob("*.yaml")) == before, "nothing is written"
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    return said.err


def test_what_cannot_be_compared_is_one_line(folder, monkeypatch, capsys):
    dense, fp8, out = made("Dense", "bf16"), made("FP8", "fp8"), ("--out", "conf/sweep/mine.yaml")
    Path("empty").mkdir()
    Path("adapter").mkdir()
    Path("adapter/adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    other = made("Other", "fp8", architectures=["Qwen3ForCausalLM"])
    wider = made("Wider", "fp8", hidden_size=4096)
    gguf = str(test_gguf.write(Path("m-Q8_0.gguf"), (8, (64, 64))))

    def said(*arguments: str) -> str:
        return refused(folder, monkeypatch, capsys, *arguments, *out)

    assert "no config.json" in said(dense, "./empty")
    assert "no checkpoint (not there)" in said(dense, "./nowhere")
    assert "no checkpoint (no folder here, and no hub id)" in said(dense, "nowhere")
    assert "LoRA adapter" in said(dense, "./adapter") and "merge" in said(dense, "./adapter")
    assert "Qwen3ForCausalLM" in said(dense, other) and "LlamaForCausalLM" in said(dense, other)
    assert "4,096 hidden_size" in said(dense, wider)
    assert "no dense checkpoint" in said(fp8, made("INT8", "int8"))
    assert "2 dense checkpoints: Dense, Second" in said(dense, made("Second", "bf16"))
    assert "one checkpoint" in said(dense) and "one checkpoint" in said(dense, dense)
    assert "GGUF" in said(dense, gguf)
    assert "no engine of that name in conf/engine" in said(dense, fp8, "--engine", "vlm")
    assert "HF_HUB_OFFLINE" in said(dense, "org/name")
    broken = made("Broken", "bf16", quantization_config=built.KINDS["fp8"][1])
    assert "harness inspect ./Broken" in said(dense, broken)


def test_an_existing_file_is_kept_without_force(folder, monkeypatch, capsys):
    given = [made("Dense", "bf16"), made("FP8", "fp8"), "--out", "conf/sweep/mine.yaml"]
    path = Path("conf/sweep/mine.yaml")
    path.parent.mkdir(parents=True)
    path.write_text("# mine\n")
    assert "exists already" in refused(folder, monkeypatch, capsys, *given)
    assert path.read_text() == "# mine\n"
    assert run(monkeypatch, *given, "--force") == 0 and "bf16" in path.read_text()
    capsys.readouterr()
    assert "is a sweep already" in refused(folder, monkeypatch, capsys, *given[:2], "--out", "x/sweep/quickstart.yaml")
    for wrong in ("mine.yaml", "conf/sweep/mine.txt"):
        assert "folder named sweep" in refused(folder, monkeypatch, capsys, *given[:2], "--out", wrong)


def test_no_engine_for_all_says_why_of_each(folder, monkeypatch, capsys):
    monkeypatch.setattr(engines.host, "gpus", lambda: [{"memory_gib": 80.0, "compute_capability": 9.0}])
    given = [made("Dense", "bf16"), made("Sparse", "sparse_int4"), made("MX", "mxfp4")]
    said = refused(folder, monkeypatch, capsys, *given, "--out", "conf/sweep/mine.yaml")
    assert "no engine of conf/engine serves all" in said and "vllm<0.16" in said and "vllm>=0.25" in said


def test_tensor_parallel_is_a_power_of_two_that_holds_the_weights():
    assert [tensor_parallel(int(gb * 1e9), 80.0) for gb in (1, 16, 65, 141, 810)] == [1, 1, 1, 4, 16]
    assert tensor_parallel(10**12, None) == 1


def test_the_default_file_is_named_after_the_dense_checkpoint(folder, monkeypatch):
    dense = made("Llama-3.1-8B", "bf16", max_position_embeddings=512, _name_or_path="meta-llama/Llama-3.1-8B")
    fp8 = made("FP8", "fp8")
    (folder / "conf" / "sweep").mkdir(parents=True)
    elsewhere, _ = drafting.draft_of([dense, fp8], None, folder / "other/sweep/x.yaml", "vllm", None, False)
    assert elsewhere.command == f"harness --config-dir {folder}/other +sweep=x"
    draft, path = drafting.draft_of([dense, fp8], None, None, "vllm", None, False)
    assert path == folder / "conf" / "sweep" / "llama_3_1_8b.yaml" and draft.command == "harness +sweep=llama_3_1_8b"
    assert draft.context == 512 and draft.contents.window == 511 and draft.base_model == "meta-llama/Llama-3.1-8B"
    assert draft.contents.scenarios == ("chat_96_16",)

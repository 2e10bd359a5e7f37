"""Every server command of every sweep is accepted by the parser of the wheel that it starts."""

import subprocess

import pytest

from harness.config.deployments import Axes
from harness.engines import Deployment, engine_class
from harness.engines.sglang import KV_CACHE_DTYPES as SGLANG_DTYPES
from harness.engines.vllm import kv_cache_dtypes
from tests.wheels import studies, wheels
from tests.wheels.cases import answers
from tests.wheels.expected import HOME

SERVED = [sweep for sweep in studies.STUDIES if studies.sessions(sweep)]
SGLANG_PARSER = """
import argparse, json, sys
from sglang.srt.server_args import ServerArgs
parser = argparse.ArgumentParser()
ServerArgs.add_cli_args(parser)
for command in json.load(sys.stdin):
    parser.parse_args(command)
print(len(parser._actions))
"""


def test_every_sweep_is_here():
    studies.check_every_sweep_is_here()


@pytest.mark.parametrize("sweep", SERVED)
def test_the_wheel_accepts_every_command(sweep, check):
    study = studies.STUDIES[sweep]
    check(study.engine, HOME[study.engine], f"{len(studies.commands(sweep))} commands of {sweep}")
    refused = answers(study.engine, HOME[study.engine])["commands"]["refused"]
    ours = {name: error for name, error in refused.items() if name.startswith(f"{sweep}: ")}
    assert len(ours) == len(studies.commands(sweep)) > 0
    assert {name: error for name, error in ours.items() if error} == {}


@pytest.mark.parametrize("engine", list(HOME))
def test_kv_cache_dtypes_are_those_of_the_wheel(engine, check):
    check(engine, HOME[engine], "values of --kv-cache-dtype")
    theirs = answers(engine, HOME[engine])["choices"]["choices"]["--kv-cache-dtype"]
    version = studies.compose_sweep(["+sweep=which_compression", "model=any", f"engine={engine}"]).engine.version
    assert set(kv_cache_dtypes(version)) <= set(theirs)


def test_sglang_accepts_its_commands(check):
    """All axes, each with each of its values, as a deployment asks for them."""
    check("sglang", "any", "commands of every deployment axis")
    config = studies.compose_sweep(["+sweep=which_compression", "model=any", "engine=sglang"]).engine
    engine = engine_class(config.kind)(config, wheels.ROOT)
    axes = [Axes(tensor_parallel=2), Axes(replicas=2), Axes(max_num_seqs=8), Axes(max_num_batched_tokens=512)]
    axes += [
        Axes(chunked_prefill=flag, max_num_batched_tokens=tokens) for flag in (True, False) for tokens in (None, 32768)
    ]
    axes += [Axes(kv_cache_dtype=dtype) for dtype in SGLANG_DTYPES]
    axes += [Axes(speculative={"method": "ngram", "num_speculative_tokens": 4})]
    axes += [Axes(speculative={"method": "eagle3", "model": "org/draft", "num_speculative_tokens": 3})]
    served = [Deployment("name", "org/model", tuple(engine.deployment_args(axis)), "main", axis) for axis in axes]
    commands = [engine.command(deployment, 8000)[3:] for deployment in served]
    given = wheels.json.dumps(commands)
    done = subprocess.run(
        [wheels.sglang(), "-c", SGLANG_PARSER], input=given, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1]
    assert int(done.stdout.split()[-1]) > 300

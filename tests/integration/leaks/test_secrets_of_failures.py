"""No secret in refusals, in the output of an engine that dies, or in tracebacks."""

import json
import shutil
import sys

import pytest

from tests.integration.leaks.canaries import CANARIES, environment, run
from tests.integration.leaks.canary_runs import TARGET_USER, URL_USER, clean, harness, load

REFUSED = {  # what is wrong: (settings, environment, exit code, what the message says)
    "a key with a line feed inside": (["engine.api_key_env=BAD"], {"BAD": f"{CANARIES.key}\n{CANARIES.key}"}, 2,
                                      "environment variable BAD holds white space"),
    "a key with a blank inside": (["engine.api_key_env=BAD"], {"BAD": f"{CANARIES.key} x"}, 2, "BAD holds white space"),
    "a key with a control character": (["engine.api_key_env=BAD"], {"BAD": f"{CANARIES.key}\x01"}, 2, "BAD holds"),
    "a key that is not ASCII": (["engine.api_key_env=BAD"], {"BAD": f"\ufeff{CANARIES.key}\u2028"}, 2, "BAD holds"),
    "the key where its variable's name belongs": ([f"engine.api_key_env={CANARIES.misplaced}"], {}, 2,
                                                  "give its name, not the key"),
    "both a key and credentials": (["engine.api_key_env=MY_PROVIDER", f"engine.base_url=http://{URL_USER}127.0.0.1:9"],
                                   {}, 2, "a request carries one"),
    "a password that is not encoded": ([f"engine.base_url=http://a:b/{CANARIES.target_password}@127.0.0.1:9"], {}, 2,
                                       "percent-encoded"),
    "a port that is a password": ([f"engine.base_url=http://127.0.0.1:{CANARIES.target_password}"], {}, 2,
                                  "numeric port"),
    "a token in the query": ([f"engine.base_url=http://h:9/?token={CANARIES.query_token}"], {}, 2, "api_key_env"),
    "credentials that were masked": (["engine.base_url=http://***@127.0.0.1:9"], {}, 2, "put them back"),
    "a server that is down": ([f"engine.base_url=http://{URL_USER}127.0.0.1:9", "mlflow.enabled=false"], {}, 2,
                              "is the server up?"),
    "an unknown key": ([f"engine.api_key={CANARIES.misplaced}"], {}, 2, "api_key"),
    "a wrong type": ([f"seed=http://{TARGET_USER}127.0.0.1"], {}, 2, "seed"),
    "an override that cannot be read": (
        [f"+engine.env={{HF_TOKEN: {CANARIES.engine_env}, A: [}}", f"x:http://{TARGET_USER}h"], {}, 2, "cannot read"),
    "a secret option of the engine": (
        ["engine=vllm_cpu", f"engine.args=[--api-key,{CANARIES.misplaced}]",
         f"+engine.env={{HF_TOKEN: {CANARIES.engine_env}}}"], {}, 2, "process list"),
    "an index with a password": (
        ["engine=vllm_cpu", f"engine.environment.install=['--index-url http://{TARGET_USER}127.0.0.1:9 vllm']"], {}, 2,
        "PIP_EXTRA_INDEX_URL"),
    "a plan that is only printed": (
        ["engine=vllm_cpu", f"engine.args=[--api-key,{CANARIES.misplaced}]", "dry_run=true",
         f"+engine.env={{HF_TOKEN: {CANARIES.engine_env}}}"], {}, 2, "preflight would stop this"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_shows_no_secret(what, tiny_model, home):
    settings, more, code, said = REFUSED[what]
    command = load(tiny_model, "variant=[bf16]", "engine.base_url=http://127.0.0.1:9")
    if "engine=vllm_cpu" in settings:
        command = [word for word in command if not word.startswith("engine")]
    command = [word for word in command if word.partition("=")[0] not in {s.partition("=")[0] for s in settings}]
    done = run([*command, *settings], home, environment(home, **more))
    assert done.code == code and said in done.printed, done.printed
    clean(home, done)


DYING = """#!/bin/sh
# asked for its packages it has none; started as a server it prints what it has and dies
case "$1" in -c) exit 1 ;; esac
env
echo "starting with $*"
printf 'no end of line: %s' "$HF_TOKEN" >&2
exit 3
"""


def test_an_engine_that_dies_printing_its_environment(tiny_model, home):
    model = shutil.copytree(tiny_model, home / "model")
    header = {"model.layers.0.mlp.up_proj.weight": {"dtype": "BF16", "shape": [4, 4], "data_offsets": [0, 32]}}
    encoded = json.dumps(header).encode()
    (model / "model.safetensors").write_bytes(len(encoded).to_bytes(8, "little") + encoded + b"\1\2" * 16)
    python = home / "python"
    python.write_text(DYING)
    python.chmod(0o755)
    command = harness(
        *("engine=vllm_cpu", f"engine.python={python}", f"model={model}", "variant=[bf16]", "suite=[]"),
        *("judge=null", "scenario=[rag_256_8]", "mlflow.enabled=false", "hardware.min_free_disk_gb=0.1"),
        f"+engine.env={{HF_TOKEN: '{CANARIES.engine_env}', OTHER_PASSWORD: '{CANARIES.misplaced}'}}",
    )
    done = run(command, home, environment(home))
    assert done.code == 1 and "died at start with exit code 3" in done.printed, done.printed
    log = (home / "results/x/logs/bf16.log").read_text()
    assert "HF_TOKEN=***" in log and "AWS_SECRET_ACCESS_KEY=***" in log and "starting with -m vllm" in log
    clean(home, done)


BUG = """
import sys
import harness.loadgen.measure
from harness.sweeps.command import main
from harness.console.output import masked_main

def bug(server):
    raise RuntimeError("POST http://alice:%s@host with " % sys.argv[1] + repr(server.headers))

harness.loadgen.measure.measure = lambda bench, *more: bug(bench.server)
if sys.argv[2] == "uncaught":
    import harness.sweeps.sweep
    harness.sweeps.sweep.build_plan = lambda *_: 1 / bug(type("Server", (), {"headers": sys.argv[1]}))
del sys.argv[1:3]
sys.exit(masked_main(main))
"""


@pytest.mark.parametrize("where", ["in a cell", "uncaught"])
def test_a_traceback_of_a_bug(where, leaky, tiny_model, home):
    words = load(tiny_model, f"engine.base_url={leaky.url('good', TARGET_USER)}", "mlflow.enabled=false",
                 "variant=[bf16]")[3:]  # fmt: skip
    env = environment(home, BUG_PASSWORD=CANARIES.query_token)
    done = run([sys.executable, "-c", BUG, CANARIES.query_token, where, *words], home, env)
    text = done.err if where == "uncaught" else (home / "results/x/logs/harness.log").read_text()
    assert done.code == 1 and "Traceback" in text and "http://***@host" in text, done.printed
    clean(home, done)

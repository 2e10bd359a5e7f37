"""No secret in anything that a run writes, prints or shows in the process list: servers, trackers, stores.

Every place that can hold a secret has a canary; afterwards every byte is searched for them.
"""

import base64
import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from urllib.parse import quote

import pytest

from tests.integration.leaks.canaries import CANARIES, FORMS, Search, canaries_in, environment, run
from tests.integration.leaks.canary_runs import (
    MLFLOW_USER,
    TARGET_USER,
    URL_USER,
    clean,
    failures,
    harness,
    load,
    search,
)

WAYS = {  # variant: what its server does to a request; every one repeats the credentials that it was sent
    "bf16": "good",
    "fp16": "s401",
    "fp32": "s403",
    "fp8_block": "s404",
    "fp8_dynamic": "s429",
    "fp8_static": "s500",
    "int8_w8a8": "cut",
    "w4a16": "redirect",
    "w4a16_rtn": "garbage",
    "w4a16_awq": "reset",
    "w4a16_gptq": "slow",
    "nvfp4": "bad_json",
    "mxfp4": "error_event",
    "llm_int8": "models_401",
    "nf4": "models_garbage",
    "w4a8_fp8": "models_others",
}


@pytest.mark.parametrize("name", CANARIES.all())
def test_the_search_finds_what_is_planted(name, tmp_path):
    secret = CANARIES.all()[name]
    plants = {
        "plain": secret,
        "half": secret[len(secret) // 2 - 1 :],
        "json": json.dumps({"error": secret}),
        "json in json": json.dumps(json.dumps([secret])),
        "url": f"http://user:{quote(secret, safe='')}@host",
        "bytes": repr(f"Bearer {secret}\r".encode()) if secret.isascii() else secret,
        "basic": base64.b64encode(f"alice:{secret}".encode()).decode(),
        "long base64": base64.urlsafe_b64encode(f"a prefix {secret} and more".encode()).decode(),
    }
    for form, text in plants.items():
        assert name in canaries_in(text.encode()), form
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(secret.encode()))
    looked = Search()
    looked.folder(tmp_path)
    assert [found for _, found in looked.found] == [name]
    assert canaries_in(b"sk-canary/ canary HF_TOKEN *** 127.0.0.1 alice") == []
    assert all(len(written) > 5 for written in FORMS.values())


def test_servers_that_repeat_credentials_in_sixteen_ways(leaky, tiny_model, home):
    """Then the report, MLflow and a comparison of what was stored, and the same command again."""
    targets = [
        f"+engine.targets.{variant}={{base_url: '{leaky.url(way, TARGET_USER)}'}}"
        for variant, way in WAYS.items()
        if way != "good"
    ]
    command = load(
        tiny_model,
        f"engine.base_url={leaky.url('good', URL_USER)}",
        f"variant=[{','.join(WAYS)}]",
        *targets,
        "mlflow.tracking_uri=sqlite:///mlflow.db",
    )
    env = environment(home)
    refused = run(command, home, env)
    assert refused.code == 2 and "preflight found 15 problems" in refused.err, refused.printed
    assert all(f"variant {name}: " in refused.err for name in WAYS if name != "bf16"), refused.printed
    clean(home, refused)
    leaky.welcome()
    first = run(command, home, env)
    assert first.code == 1, first.printed
    assert leaky.accepted["good"] >= 2, "the URL's credentials reach the server"
    failed = failures(home)
    assert set(failed) == set(WAYS) - {"bf16"}, first.printed
    assert "***" in failed["fp16"] and "http_401" in failed["fp16"]
    assert "***" in failed["fp8_static"] and "***" in failed["int8_w8a8"] and "***" in failed["w4a8_fp8"]
    [record] = (home / "results/x/cells").glob("*/record.json")
    assert json.loads(record.read_text())["engine"]["base_url"] == leaky.url("good")
    assert "engine.base_url=http://***@127.0.0.1" in (home / "reports/x/release_notes.md").read_text()
    looked = clean(home, first)
    assert looked.files > 15 and looked.bytes > 500_000

    moved = [word.replace(URL_USER, "dave:canary-free-password@") for word in command]
    again = run([*moved, "variant=[bf16]", "dry_run=true"], home, env)
    assert "1 cached, 0 to measure" in " ".join(again.out.split()), "other credentials are the same server"
    after = [
        run([sys.executable, "-m", "harness.report", "results/x"], home, env),
        run([sys.executable, "-m", "harness.track", "results/x", "--tracking-uri", "sqlite:///again.db"], home, env),
    ]
    assert [one.code for one in after] == [0, 0], after
    clean(home, first, again, *after)


def test_keys_in_the_environment_and_a_run_that_is_killed(leaky, tiny_model, home):
    """The key has the CR LF of a .env file; the engine's environment holds a secret of its own."""
    command = load(
        tiny_model,
        *(f"engine.base_url={leaky.url('good')}/v1/", "engine.api_key_env=MY_PROVIDER", "variant=[bf16]"),
        *("load.rates_rps=[20]", "load.duration_s=4", f"mlflow.tracking_uri=http://{MLFLOW_USER}127.0.0.1:9"),
    )
    env = environment(home)
    cells = home / "results/x/cells"
    killed = run(command, home, env, kill_when=lambda: cells.is_dir() and any(cells.iterdir()))
    assert killed.code == -signal.SIGKILL
    clean(home, killed)
    resumed = run(command, home, env)
    assert resumed.code == 0, resumed.printed
    assert "MLflow at http://***@127.0.0.1:9 did not take the study" in resumed.err
    assert len(list(cells.glob("*--*"))) == 2, "an invalid try that was measured again is in cells/.earlier"
    tracked = run([sys.executable, "-m", "harness.track", "results/x"], home, env)
    assert tracked.code == 1 and "MLFLOW_TRACKING_USERNAME" in tracked.err
    clean(home, killed, resumed, tracked)


def test_suites_and_a_judge_that_repeat_credentials(leaky, tiny_model, home):
    model = shutil.copytree(tiny_model, home / "chat_model")
    settings = json.loads((model / "tokenizer_config.json").read_text())
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    (model / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": template}))
    command = harness(
        *(
            "engine=endpoint",
            f"model={model}",
            "engine.model=m",
            "engine.version=1",
            "engine.dialect=openai",
            "scenario=[]",
        ),
        *("suite=[alpaca_eval,gsm8k]", "suites.alpaca_eval.items=1", "suites.gsm8k.items=1", "data.root=pocket"),
        *("noise_runs=0", "variant=[bf16,fp16,fp32,nf4]", f"engine.base_url={leaky.url('good')}"),
        *("engine.api_key_env=MY_PROVIDER", f"+engine.targets.fp16={{base_url: '{leaky.url('s403')}'}}"),
        f"+engine.targets.fp32={{base_url: '{leaky.url('bad_json')}'}}",
        f"+engine.targets.nf4={{base_url: '{leaky.url('good_too')}'}}",
        *(f"judge.base_url={leaky.url('s401', URL_USER)}", "judge.endpoint_model=m", "judge.model=null"),
        *("mlflow.enabled=false", "hardware.min_free_disk_gb=0.1"),
    )
    done = run(command, home, environment(home))
    assert done.code == 1 and "refused a request: HTTP 403" in done.printed, done.printed
    rows = (home / "results/x/cells").glob("*/rows.jsonl.gz")
    answers = [gzip.decompress(path.read_bytes()).decode() for path in rows]
    assert answers and any("***" in text for text in answers), "the model's answer was the key"
    assert leaky.accepted["s401"] >= 1, "the judge was asked with the credentials of its URL"
    clean(home, done)


def test_a_store_of_before_is_masked_when_it_is_read(leaky, tiny_model, home):
    env = environment(home)
    url = leaky.url("good", URL_USER)
    run(load(tiny_model, f"engine.base_url={url}", "variant=[bf16]", "mlflow.enabled=false"), home, env)
    old = home / "results/x/sweep.json"
    old.write_text(old.read_text().replace("http://***@", f"http://{URL_USER}"))
    for path in (home / "results/x/cells").glob("*/record.json"):
        path.write_text(path.read_text().replace("http://127", f"http://{URL_USER}127"))
    assert search(home).found, "the old store holds it"
    env = {key: value for key, value in env.items() if "canary" not in value}
    after = [
        run([sys.executable, "-m", "harness.report", "results/x", "--out", "new/report"], home, env),
        run([sys.executable, "-m", "harness.track", "results/x", "--tracking-uri", "sqlite:///new/a.db"], home, env),
        run([sys.executable, "-m", "harness.compare", "results/x:bf16", "results/x:fp16"], home, env),
    ]
    assert [one.code for one in after] == [0, 0, 2], after
    clean(home / "new", *after)


def test_a_real_mlflow_server_is_told_no_secret(leaky, tiny_model, home):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = home / "server"
    folder.mkdir()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/m.db", "--artifacts-destination", str(folder / "artifacts")]
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, start_new_session=True,
            env=env | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    pytest.skip("mlflow server did not start")
                time.sleep(0.3)
        uri = f"mlflow.tracking_uri=http://{MLFLOW_USER}127.0.0.1:{port}"
        words = load(tiny_model, f"engine.base_url={leaky.url('good', URL_USER)}", "variant=[bf16,fp16]", uri,
                     f"+engine.targets.fp16={{base_url: '{leaky.url('s500', TARGET_USER)}'}}")  # fmt: skip
        leaky.welcome()
        done = run(words, home, environment(home))
        assert f"compare: http://***@127.0.0.1:{port}/" in done.out, done.printed
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    assert list((folder / "artifacts").rglob("index.html")) and (folder / "m.db").stat().st_size > 10_000
    clean(home, done)

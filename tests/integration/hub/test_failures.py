"""What the hub refuses, breaks off or does not have is one line: what, where, what to do. No traceback, no token."""

import re

import pytest

from tests.hub.contents import CALIBRATION, GATED, JUDGE, MODEL, SCRIPT_ONLY
from tests.hub.server import Fault
from tests.hub.user import TOKEN

GSM8K = ("suite=[gsm8k]", "suites.gsm8k.items=2", "suites.gsm8k.max_tokens=8", f"model={MODEL}")
ALPACA = ("suite=[alpaca_eval]", "suites.alpaca_eval.items=2", f"judge.model={JUDGE}", f"model={MODEL}")
PERPLEXITY = ("suite=[perplexity]", "suites.perplexity.items=2", "suites.perplexity.window=64", f"model={MODEL}")


def problems(done) -> list[str]:
    """The numbered lines of a failed preflight; exit code 2 and nothing else on stderr but its headline."""
    assert done.returncode == 2, done.stdout + done.stderr
    return re.findall(r"^  \d+\. (.*)$", done.stderr, re.MULTILINE)


def test_a_gated_model_names_the_token_and_the_page(hub, harness, python):
    said = f"checkpoint {GATED} is gated, and no token is set; accept its terms at https://huggingface.co/{GATED}, "
    said += "then export a token of that account as HF_TOKEN"
    assert problems(harness(*GSM8K[:3], f"model={GATED}")) == [said]
    done = python("-m", "harness.inspect", GATED)
    assert (done.returncode, done.stderr) == (2, f"error: {said}\n")


def test_a_token_without_access_is_told_from_none(hub, python):
    hub.tokens = {TOKEN}
    said = f"checkpoint {GATED} is gated, and the account of HF_TOKEN has no access to it; accept its terms or request "
    said += f"access at https://huggingface.co/{GATED}"
    done = python("-m", "harness.inspect", GATED, HF_TOKEN=TOKEN)
    assert (done.returncode, done.stderr) == (2, f"error: {said}\n")


def test_a_member_of_a_gated_model_reads_it_and_the_cdn_sees_no_token(hub, python):
    hub.tokens = {TOKEN}
    hub.repositories["model", GATED].members.add(TOKEN)
    try:
        done = python("-m", "harness.inspect", GATED, HF_TOKEN=TOKEN)
    finally:
        hub.repositories["model", GATED].members.clear()
    assert done.returncode == 0, done.stderr
    cdn = [asked for asked in hub.asked if asked.path.startswith("/cdn/")]
    assert cdn and not any(asked.token for asked in cdn)
    assert all(asked.token == TOKEN for asked in hub.asked if asked.path.startswith("/api/"))


def test_a_refused_token_is_named_by_its_source(hub, harness, tmp_path):
    said = "checkpoint {}: the hub refuses the token of {} (401); replace it, or unset it".format
    assert said(MODEL, "HF_TOKEN") in problems(harness(*GSM8K, HF_TOKEN=TOKEN))
    file = tmp_path / "hf" / "token"
    file.parent.mkdir(exist_ok=True)
    file.write_text(TOKEN)
    assert said(MODEL, file) in problems(harness(*GSM8K))


def test_gated_data_of_a_suite_and_of_calibration(hub, harness):
    gated = [hub.repositories["dataset", name] for name in ("openai/gsm8k", CALIBRATION)]
    for repository in gated:
        repository.gated = "auto"
    try:
        suite = problems(harness(*GSM8K))
        compressing = problems(harness(*GSM8K, "engine=vllm", "variant=[bf16,w4a16_gptq]"))
    finally:
        for repository in gated:
            repository.gated = False
    page = "https://huggingface.co/datasets/openai/gsm8k"
    said = f"suite gsm8k: data: dataset openai/gsm8k is gated, and no token is set; accept its terms at {page}, "
    said += "then export a token of that account as HF_TOKEN, or set data.root to a mirror or to pocket"
    assert suite == [said]
    assert any(line.startswith(f"calibration: dataset {CALIBRATION}") and "is gated" in line for line in compressing)


@pytest.mark.parametrize("token", [None, TOKEN])
def test_a_misspelt_id_is_not_found(token, hub, python):
    hub.tokens = {TOKEN}
    env = {"HF_TOKEN": token} if token else {}
    said = "checkpoint tester/tiny-lama does not exist on the hub, or "
    said += (
        "the account of HF_TOKEN has no access to it; correct the id"
        if token
        else "is private; correct the id, or export HF_TOKEN for a private one"
    )
    done = python("-m", "harness.inspect", "tester/tiny-lama", **env)
    assert (done.returncode, done.stderr) == (2, f"error: {said}\n")


def test_a_misspelt_revision_is_not_found(hub, harness, python):
    said = f"checkpoint {MODEL}@v9: the hub has no such revision; correct it (revisions: "
    said += f"https://huggingface.co/{MODEL}/commits/main)"
    assert problems(harness(*GSM8K[:3], f"model={MODEL}@v9")) == [said]
    done = python("-m", "harness.inspect", f"{MODEL}@v9")
    assert (done.returncode, done.stderr) == (2, f"error: {said}\n")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_hub_is_asked_again_and_then_said(status, hub, python):
    hub.faults = [Fault("/api/models", status=status, headers={"Retry-After": "0"})]
    done = python("-m", "harness.inspect", MODEL)
    asked = [request for request in hub.asked if request.path.startswith("/api/models")]
    assert len(asked) == 3
    said = {
        429: f"{hub.endpoint} is rate-limiting this machine (429); try again later, "
        "or export HF_TOKEN for a higher limit",
        503: f"{hub.endpoint} answers 503 repeatedly; try again later (https://status.huggingface.co)",
    }[status]
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, f"error: checkpoint {MODEL}: {said}")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_hub_that_recovers_is_not_said(status, hub, python):
    hub.faults = [Fault("/api/models", status=status, times=2, headers={"Retry-After": "0"})]
    done = python("-m", "harness.inspect", MODEL)
    assert done.returncode == 0, done.stderr


def test_a_download_cut_at_half_is_fetched_again(hub, harness, tmp_path):
    hub.faults = [Fault("GET /(api/resolve-cache/datasets/tatsu-lab|cdn)/", cut=0.5, times=2)]
    done = harness(*ALPACA)
    assert done.returncode == 0, done.stdout + done.stderr
    assert hub.faults[0].seen == 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("HEAD .*/alpaca_eval.json", headers={"X-Linked-Size": "17", "Content-Length": "17"}), "bytes"),
        (Fault("(GET|HEAD) .*/alpaca_eval.json", headers={"ETag": '"' + "0" * 40 + '"'}), "does not match"),
    ],
    ids=["size", "etag"],
)
def test_a_file_that_is_not_what_was_announced(fault, said, hub, harness):
    hub.faults = [fault]
    done = harness(*ALPACA)
    assert done.returncode != 0
    line = next(line for line in done.stderr.splitlines() + done.stdout.splitlines() if "alpaca_eval.json" in line)
    assert said in line and "run the same command again" in line, line
    hub.faults = []
    again = harness(*ALPACA)
    assert again.returncode == 0, again.stdout + again.stderr


def test_a_tokenizer_that_does_not_match_its_etag_is_downloaded_again(hub, harness):
    hub.faults = [Fault("(GET|HEAD) .*/tokenizer.json", headers={"ETag": '"' + "0" * 40 + '"'})]
    done = harness(*GSM8K)
    assert done.returncode != 0, done.stdout + done.stderr
    said = ": tokenizer.json in the hub's cache does not match the hub's etag of it, and was removed"
    assert f"checkpoint {MODEL}@" in done.stdout and said in done.stdout, done.stdout + done.stderr
    hub.faults = []
    again = harness(*GSM8K)
    assert again.returncode == 0, again.stdout + again.stderr


def test_a_dataset_that_is_only_a_script(hub, harness):
    done = harness(*PERPLEXITY[:3], f"model={MODEL}", f"suites.perplexity.text=hub:{SCRIPT_ONLY}:test")
    assert done.returncode != 0
    said = f"dataset {SCRIPT_ONLY} is a loading script (script-only.py), which `datasets` no longer runs; "
    said += "name a dataset of data files, or the revision refs/convert/parquet of this one"
    assert said in done.stdout + done.stderr, done.stdout + done.stderr


def test_offline_without_a_cache_names_the_cache_and_the_variable(hub, harness, python, tmp_path):
    where = f"is not in the hub's cache {tmp_path / 'hf' / 'hub'}, and HF_HUB_OFFLINE is set; unset it, or fill the "
    where += "cache where there is a network"
    found = problems(harness(*GSM8K, HF_HUB_OFFLINE="1"))
    assert found == [
        f"checkpoint {MODEL} {where}",
        f"suite gsm8k: data: dataset openai/gsm8k {where}, or set data.root to a mirror or to pocket",
    ]
    done = python("-m", "harness.inspect", MODEL, HF_HUB_OFFLINE="1")
    assert (done.returncode, done.stderr) == (2, f"error: checkpoint {MODEL} {where}\n")
    assert not hub.asked

"""What is masked, in which forms, and what is left as it is."""

import base64
import io
import json
import logging
import re
import sys
import threading
import time
from dataclasses import replace
from random import Random
from urllib.parse import quote

import pytest

from harness.console import output
from harness.console.output import MaskedFormatter, MaskedStream
from harness.engines import process
from harness.errors import CellError, PreflightError
from harness.records.accuracy_result import AccuracyResult
from harness.records.cell import Cell
from harness.records.engine_facts import EngineFacts
from harness.records.manifest import Manifest, Variant
from harness.records.record import Record
from harness.records.store import Store
from harness.redaction import known_secrets, masking
from harness.redaction.learning import learn as learn_value
from harness.redaction.masked_data import mask_data, mask_row
from harness.redaction.masking import excerpt, mask, secret_name

SECRET = "q7Zr/kW2+pL9 vT4xN8\"bM3'é"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(masking, "_known", masking._Known())


SECRET_FORMS = [
    "http://bob:SECRETPW7@127.0.0.1:5999/x",
    "postgresql+psycopg2://bob:SECRETPW7@db/mlflow",
    "https://SECRETPW7@github.com/org/repo",
    "http://bob:SECRET@PW7@h/",
    "http://bob:SECRET/PW7#x@h:80/",
    r"http:\/\/bob:SECRETPW7@h",
    "https://h/path?api_key=SECRETPW7&x=1",
    "https://h/path?x=1&amp;X-Amz-Signature=SECRETPW7",
    "Authorization: Bearer SECRETPW7",
    "{'Authorization': 'Basic SECRETPW7=='}",
    "Invalid header value b'Bearer SECRETPW7abcdef\\r'",
    '{"x-api-key": "SECRETPW7"}',
    "vllm serve m --api-key SECRETPW7 --port 1",
    "--hf-token=SECRETPW7",
    "'engine.args=[--api-key,SECRETPW7]'",
    '["--api-key", "SECRETPW7"]',
    "HF_TOKEN=SECRETPW7",
    "environ({'AWS_SECRET_ACCESS_KEY': 'SECRETPW7', 'A': '1'})",
    "engine.env={DB_PASSWORD: SECRETPW7}",
    '{"client_secret": "SECRETPW7"}',
    "engine.api_key=SECRETPW7",
    "the key sk-proj-SECRETPW7SECRETPW7SECRETPW7 was refused",
    "hf_SECRETPW7SECRETPW7SECRETPW7",
    "ssh://git:SECRETPW7@host/x",
    "the token https://SECRETPW7@github.com, once more",
    "OPENAI_API_KEY_2=SECRETPW7",
    "SNOWFLAKE_PWD=SECRETPW7 ",
    "X_CREDS: SECRETPW7",
    "AZURE_CONNECTION_STRING=SECRETPW7",
    "gh_pat GH_PAT=SECRETPW7",
    "--litellm-api-token SECRETPW7",
    "AKIASECRETPW7SECRET9 is no secret=SECRETPW7",
]


@pytest.mark.parametrize("text", SECRET_FORMS)
def test_what_is_secret_by_its_form(text):
    assert "PW7" not in mask(text) and "***" in mask(text)
    assert mask(mask(text)) == mask(text)


PLAIN_FORMS = [
    "http://127.0.0.1:5000/models/org@main and http://h:80/a@b",
    "engine.api_key_env names MY_KEY, which is not set or blank; export MY_KEY with the key",
    "write KEY=VALUE, as in load.rates_rps=[1,2]",
    "max_tokens=16 TOKENIZERS_PARALLELISM=false --max-num-batched-tokens 8192 --port PORT",
    "Basic understanding of bearer shares",
    "git+https://github.com/org/repo@v1.2",
    "task-specific risk-adjusted sk-learn",
    "mail bob@example.org",
    "SGLANG_PER_TOKEN_GROUP_QUANT_8BIT_V2=1 PAD_TOKEN=<pad> EOS_TOKEN_ID=2 SORT_KEY=name",
    "Args(hf_token=None, api_key=none)",
    '{"hf_token": null, "password": false}',
    "HF_TOKEN=None USE_SECRET=1 AUTH_TOKEN='' X_KEY=true",
    "vllm serve --reasoning-end-token </think> --eos-token </s>",
    "git+ssh://git@github.com/org/repo@v1 ssh://git@host:22/x git+ssh://git@github.com:org/repo.git@v1",
    "abfss://results2@account.dfs.core.windows.net/x docker://vllm@sha256:12",
]


@pytest.mark.parametrize("text", PLAIN_FORMS)
def test_what_is_no_secret_stays(text):
    assert mask(text) == text


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        json.dumps(json.dumps([SECRET])),
        repr(SECRET),
        quote(SECRET),
        re.sub("%..", lambda match: match[0].lower(), quote(SECRET, safe="")),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_known_value_in_every_encoding(written):
    learn_value(SECRET)
    shown = mask(f"before {written} after")
    assert shown.startswith("before ") and shown.endswith(" after") and "***" in shown
    assert not any(part in shown for part in ("q7Zr", "kW2", "pL9", "vT4", "bM3"))


def test_the_first_part_of_a_known_value_is_masked_and_common_words_are_not():
    learn_value("k9Xw2Lq8Rt5Vb7Nm3Zc1Yp6", "mlflow", "true", "8000", "EMPTY")
    assert mask("cut: k9Xw2Lq8Rt5Vb7N") == "cut: ***"
    assert mask("k9Xw2L is another word") == "k9Xw2L is another word"
    assert mask("mlflow true 8000 EMPTY") == "mlflow true 8000 EMPTY"
    assert excerpt("x" * 90 + "k9Xw2Lq8Rt5Vb7Nm3Zc1Yp6", 100) == "x" * 90 + "***"
    assert excerpt(b"x" * 90 + b"k9Xw2Lq8Rt5Vb7Nm3Zc1Yp6", 100) == "x" * 90 + "***"


def test_data_is_masked_by_value_and_by_key_and_stays_json():
    learn_value("12345678")
    data = {"env": {"HF_TOKEN": "x", "A": "1"}, "args": ["--api-key", "y", "-n", "5"], "n": 12345678, "f": [0.5, None]}
    data |= {"uri": "http://a:b@h", "said": "got 12345678", "http://a:b@h": 1, "api_key_env": "HF_TOKEN", "token": " a"}
    masked = mask_data(data)
    assert masked["env"] == {"HF_TOKEN": "***", "A": "1"} and masked["args"] == ["--api-key", "***", "-n", "5"]
    assert masked["n"] == 12345678 and masked["f"] == [0.5, None] and masked["said"] == "got ***"
    assert masked["uri"] == "http://***@h" and masked["http://***@h"] == 1
    assert masked["api_key_env"] == "HF_TOKEN" and masked["token"] == " a"


def test_answers_of_models_are_changed_by_known_values_alone():
    learn_value("k9Xw2Lq8Rt5Vb7Nm")
    code = {"response": 'url = "http://user:pass@host"; PASSWORD = "x1y2"', "error": None}
    assert mask_row(code, json.dumps(code)) is code
    row = {"response": "the key is k9Xw2Lq8Rt5Vb7Nm", "error": {"kind": "http_500", "message": "http://u:p@h"}}
    assert mask_row(row, json.dumps(row)) == {
        "response": "the key is ***",
        "error": {"kind": "http_500", "message": "http://***@h"},
    }


def test_names_of_secrets():
    secret = (
        "TOKEN AUTH_TOKEN HF_TOKEN OPENAI_API_KEY OPENAI_API_KEY_2 AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID DB_PWD "
        "MLFLOW_TRACKING_PASSWORD GH_PAT CLIENT_SECRET_VALUE password api_key client-secret"
    )
    assert all(map(secret_name, secret.split()))
    plain = (
        "SGLANG_PER_TOKEN_GROUP_QUANT_8BIT_V2 PAD_TOKEN EOS_TOKEN BOS_TOKEN EOS_TOKEN_ID SORT_KEY GPU_KEY PWD OLDPWD "
        "KEY PATH TOKENIZERS_PARALLELISM SSL_KEY_FILE SSH_AUTH_SOCK api_key_env key token MAX_TOKENS"
    )
    assert not any(map(secret_name, plain.split()))


def test_where_values_are_learned_from():
    environ = {
        "K": " k9Xw2Lq8Rt5V\r\n",
        "NAME": "name",
        "HTTP_PROXY": "http://u:pr0xyPass9@h:1",
        "HF_TOKEN": "tok3nValue",
    }
    known_secrets.learn_environment(environ)
    known_secrets.learn_config({"engine": {"api_key_env": "K", "env": {"X_SECRET": "envValue77"}}}, environ=environ)
    known_secrets.learn_command_line(
        ["mlflow.tracking_uri=http://b:p%40ssW0rd@h", "+judge.api_key=argValue55"], environ
    )
    for value in ("k9Xw2Lq8Rt5V", "pr0xyPass9", "tok3nValue", "envValue77", "p%40ssW0rd", "p@ssW0rd", "argValue55"):
        assert mask(f"<{value}>") == "<***>", value
    assert mask(base64.b64encode(b"b:p@ssW0rd").decode()) == "***", "as basic authentication sends it"


def test_errors_logs_and_streams_are_masked(capsys):
    assert str(CellError("http://a:b@h failed")) == "http://***@h failed"
    assert PreflightError(["http://a:b@h"]).problems == ["http://***@h"]
    try:
        raise RuntimeError("at http://a:b@h")
    except RuntimeError:
        record = logging.LogRecord("harness", logging.ERROR, "f", 1, "%s", ("HF_TOKEN=abc",), sys.exc_info())
    shown = MaskedFormatter("%(message)s").format(record)
    assert "HF_TOKEN=***" in shown and "RuntimeError: at http://***@h" in shown
    stream = MaskedStream(sys.stdout)
    for part in ("see http://a:", "b@h", " now\nand", " more"):
        stream.write(part)
    assert capsys.readouterr().out == "see http://***@h now\n"
    stream.flush()
    assert capsys.readouterr().out == "and more" and stream.encoding == sys.stdout.encoding


def test_switches_keep_their_values_in_data():
    env = {"SGLANG_PER_TOKEN_GROUP_QUANT_8BIT_V2": "0", "USE_SECRET": "1", "HF_TOKEN": "None", "API_KEY": "0x"}
    assert mask_data(env) == env | {"API_KEY": "***"}
    for words in (["--reasoning-end-token", "</think>"], ["--token", "--port"], ["--hf-token", None]):
        assert mask_data(words) == words
    assert mask_data(["--token", "abc"]) == ["--token", "***"]


@pytest.mark.parametrize("secret", ["topsecret", "minioadmin", "opensesame", "1234567", "abc12", "hunt"])
def test_a_short_or_simple_secret_is_masked_as_a_word(secret):
    learn_value(secret)
    assert mask(f"said {secret}.") == f"said {secret}.", "a value that is no secret for certain"
    learn_value(secret, certain=True)
    assert mask(f"said {secret}.") == "said ***."
    assert mask(json.dumps(f"a\n{secret}\t")) == '"a\\n***\\t"'
    if len(secret) < 8:
        assert mask(f"x{secret} {secret}9") == f"x{secret} {secret}9"
    masking.learn_encoded(values := masking.known_values())
    assert secret in values, "the watchdog knows it"


def test_placeholders_are_never_secrets():
    words = "mlflow postgres ollama EMPTY none null True password token test admin root key vllm harness 8000 abc"
    learn_value(*words.split(), certain=True)
    assert masking.known_values() == []


@pytest.mark.parametrize(
    "learn",
    [
        lambda: known_secrets.learn_environment({"DB_PASSWORD": "opensesame"}),
        lambda: known_secrets.learn_environment({"A": "amqp://bob:opensesame@h"}),
        lambda: known_secrets.learn_environment({"X_AUTH": "Bearer opensesame"}),
        lambda: known_secrets.learn_config({"env": {"HF_TOKEN": "opensesame"}}),
        lambda: known_secrets.learn_config(["--api-key", "opensesame"]),
        lambda: known_secrets.learn_config("--api-key=opensesame"),
        lambda: known_secrets.learn_config({"api_key_env": "K"}, environ={"K": "opensesame"}),
        lambda: known_secrets.learn_command_line(["+engine.env={HF_TOKEN: opensesame}"]),
        lambda: known_secrets.learn_url("https://h?sig=0pensesame&x=opensesame77&token=opensesame77") or 0,
    ],
)
def test_what_is_certainly_a_secret(learn):
    learn()
    assert "sesame" not in mask("he said opensesame77" if "opensesame77" in masking.known_values() else "opensesame")


def test_ordinary_words_of_a_secret_stay():
    pem = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n-----END OPENSSH PRIVATE KEY-----"
    known_secrets.learn_environment({"SSH_PRIVATE_KEY": pem, "X_AUTH": "Bearer abc", "M_PASS": "open the door2night"})
    assert mask("line b3BlbnNzaC1rZXktdjEAAAAABG5vbmU") == "line ***" and mask("<door2night>") == "<***>"
    text = "-----BEGIN a PRIVATE file of OPENSSH; Bearer of open doors"
    assert mask(text) == text
    for url in ("abfss://results2@account/x", "ssh://runner01@ci", "git+ssh://runner01@h/x", "s3://results2@h"):
        known_secrets.learn_url(url)
    assert mask("results2 runner01") == "results2 runner01"
    known_secrets.learn_url("git+https://runner01@h/x")
    known_secrets.learn_url("postgresql+psycopg2://results2@h/x")
    assert mask("runner01 results2") == "*** ***"


SURROUNDINGS = ["{}", "INFO {} of 12", '{{"text": "{}"}}', "a\n{}\tb", "x=({})", "{} {}", "{}\n{}"]


@pytest.mark.parametrize("around", SURROUNDINGS)
@pytest.mark.parametrize("change", [str, str.upper, str.lower, str.title, json.dumps, repr, quote])
def test_the_prefilter_changes_no_result(around, change):
    learn_value("k9Xw2Lq8Rt5Vb7Nm")
    for form in [*SECRET_FORMS, *PLAIN_FORMS, "INFO the engine is up", "k9Xw2Lq8Rt5Vb7Nm"]:
        text = around.format(*[change(form)] * 2)
        assert mask(text) == masking.mask_structure(masking.mask_known(text), masking.HINTS)


def test_the_prefilter_changes_no_result_for_any_mixture():
    random = Random(7)
    pieces = sorted({piece for form in SECRET_FORMS + PLAIN_FORMS for piece in re.findall(r"\w+|\W", form)})
    for _ in range(3000):
        text = "".join(random.choices(pieces, k=random.randint(1, 9)))
        assert mask(text) == masking.mask_structure(text, masking.HINTS), text


@pytest.mark.parametrize("unit", ["://a:", "http://a:b", "://a@", "A_", "a-", "--token", "key", "eyJ", "\\", "aA1+/="])
def test_long_lines_take_linear_time(unit):
    """Quadratic time is about an hour here: it ends under the timeout of pytest, or it does not."""
    text = unit * (200_000 // len(unit))
    mask(text)
    mask(f"--token {text} authorization: {text} @")
    known_secrets.learn_config(text)


def test_a_stream_is_written_by_one_thread_at_a_time(monkeypatch):
    inside, most = [], []

    def slow(text):
        inside.append(text)
        most.append(len(inside))
        time.sleep(0.002)
        inside.remove(text)
        return text

    monkeypatch.setattr(output, "mask", slow)
    stream = MaskedStream(into := io.StringIO())

    def write(name):
        for number in range(10):
            stream.write(f"<{name} {number}>\n")
            stream.flush()

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(into.getvalue().splitlines()) == sorted(f"<{name} {n}>" for name in "abcd" for n in range(10))
    assert max(most) == 1


def test_a_store_masks_rows_and_never_the_identity_of_a_cell(tmp_path):
    store = Store(tmp_path)
    cell = Cell("bf16/hunter2/1", "accuracy", "bf16", "hunter2", suite="mmlu")
    result = AccuracyResult(primary="x")
    record = Record(cell=cell, fingerprint="hunter2", result=result, engine=EngineFacts(log="at hunter2"))
    rows = [{"response": "hunter2", "error": "http://a:b@h"}, {"response": "http://a:b@h"}]
    store.write(record, rows)  # nothing is known yet
    manifest = Manifest("s", "bf16", {"bf16": Variant("bf16", "hunter2")}, suites=("mmlu",), cells=(cell,))
    store.write_manifest(manifest)
    store.write_failure("bf16/hunter2/2", "hunter2 failed", None)
    learn_value("hunter2", certain=True)
    stored = store.record("hunter2")
    assert stored == replace(record, engine={"log": "at ***"}, files=stored.files, schema=stored.schema)
    assert store.rows("hunter2") == [{"response": "***", "error": "http://***@h"}, rows[1]]
    assert store.manifest() == replace(manifest, variants={"bf16": Variant("bf16", "***")})
    assert store.failures() == [{"key": "bf16/hunter2/2", "error": "*** failed", "log": None}]
    other = replace(record, cell=replace(cell, fingerprint="hunter2b"), fingerprint="hunter2b")
    store.write(other, rows)
    written = (tmp_path / "cells" / "bf16--hunter2--1--hunter2b" / "record.json").read_text()
    assert json.loads(written)["cell"] == other.cell.to_json() and json.loads(written)["engine"]["log"] == "at ***"


def test_the_tail_of_a_log_is_selected_before_it_is_masked(tmp_path, monkeypatch):
    log, asked = tmp_path / "log", []
    lines = [f"line {number}" for number in range(2000)]
    lines[9] = "ValueError: no http://a:b@h"
    log.write_text("\n\n".join(lines))
    monkeypatch.setattr(process, "excerpt", lambda text, length: asked.append(text) or excerpt(text, length))
    assert process.log_tail(log, 2).splitlines() == [
        "    | ValueError: no http://***@h", "    | line 1998", "    | line 1999",
    ]  # fmt: skip
    assert len(asked) == 3

"""What is masked, in which forms, and what is left as it is."""

import base64
import json
import logging
import re
import sys
from urllib.parse import quote

import pytest

from harness import known_secrets, masking
from harness.errors import CellError, PreflightError
from harness.masking import excerpt, mask, mask_data, mask_row, secret_name
from harness.output import MaskedFormatter, MaskedStream

SECRET = "q7Zr/kW2+pL9 vT4xN8\"bM3'é"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(masking, "_known", masking._Known())


@pytest.mark.parametrize(
    "text",
    [
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
    ],
)
def test_what_is_secret_by_its_form(text):
    assert "PW7" not in mask(text) and "***" in mask(text)
    assert mask(mask(text)) == mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000/models/org@main and http://h:80/a@b",
        "engine.api_key_env names MY_KEY, which is not set or blank; export MY_KEY with the key",
        "write KEY=VALUE, as in load.rates_rps=[1,2]",
        "max_tokens=16 TOKENIZERS_PARALLELISM=false --max-num-batched-tokens 8192 --port PORT",
        "Basic understanding of bearer shares",
        "git+https://github.com/org/repo@v1.2",
        "task-specific risk-adjusted sk-learn",
        "mail bob@example.org",
    ],
)
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
    masking.learn(SECRET)
    shown = mask(f"before {written} after")
    assert shown.startswith("before ") and shown.endswith(" after") and "***" in shown
    assert not any(part in shown for part in ("q7Zr", "kW2", "pL9", "vT4", "bM3"))


def test_the_first_part_of_a_known_value_is_masked_and_common_words_are_not():
    masking.learn("k9Xw2Lq8Rt5Vb7Nm3Zc1Yp6", "mlflow", "true", "8000", "EMPTY")
    assert mask("cut: k9Xw2Lq8Rt5Vb7N") == "cut: ***"
    assert mask("k9Xw2L is another word") == "k9Xw2L is another word"
    assert mask("mlflow true 8000 EMPTY") == "mlflow true 8000 EMPTY"
    assert excerpt("x" * 90 + "k9Xw2Lq8Rt5Vb7Nm3Zc1Yp6", 100) == "x" * 90 + "***"
    assert excerpt(b"x" * 90 + b"k9Xw2Lq8Rt5Vb7Nm3Zc1Yp6", 100) == "x" * 90 + "***"


def test_data_is_masked_by_value_and_by_key_and_stays_json():
    masking.learn("12345678")
    data = {"env": {"HF_TOKEN": "x", "A": "1"}, "args": ["--api-key", "y", "-n", "5"], "n": 12345678, "f": [0.5, None]}
    data |= {"uri": "http://a:b@h", "said": "got 12345678", "http://a:b@h": 1, "api_key_env": "HF_TOKEN", "token": " a"}
    masked = mask_data(data)
    assert masked["env"] == {"HF_TOKEN": "***", "A": "1"} and masked["args"] == ["--api-key", "***", "-n", "5"]
    assert masked["n"] == 12345678 and masked["f"] == [0.5, None] and masked["said"] == "got ***"
    assert masked["uri"] == "http://***@h" and masked["http://***@h"] == 1
    assert masked["api_key_env"] == "HF_TOKEN" and masked["token"] == " a"


def test_answers_of_models_are_changed_by_known_values_alone():
    masking.learn("k9Xw2Lq8Rt5Vb7Nm")
    code = {"response": 'url = "http://user:pass@host"; PASSWORD = "x1y2"', "error": None}
    assert mask_row(code, json.dumps(code)) is code
    row = {"response": "the key is k9Xw2Lq8Rt5Vb7Nm", "error": {"kind": "http_500", "message": "http://u:p@h"}}
    assert mask_row(row, json.dumps(row)) == {
        "response": "the key is ***",
        "error": {"kind": "http_500", "message": "http://***@h"},
    }


def test_names_of_secrets():
    secret = "HF_TOKEN OPENAI_API_KEY AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID DB_PWD MLFLOW_TRACKING_PASSWORD GH_PAT"
    assert all(map(secret_name, [*secret.split(), "CLIENT_SECRET_VALUE", "password", "api_key", "client-secret"]))
    plain = "PWD OLDPWD KEY PATH TOKENIZERS_PARALLELISM SSL_KEY_FILE SSH_AUTH_SOCK api_key_env key token MAX_TOKENS"
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

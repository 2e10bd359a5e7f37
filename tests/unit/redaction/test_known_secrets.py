"""Where secrets are learned from, and which values are secrets for certain."""

import base64
import json

import pytest

from harness.redaction import known_secrets, masking
from harness.redaction.learning import learn as learn_value
from harness.redaction.masking import mask


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

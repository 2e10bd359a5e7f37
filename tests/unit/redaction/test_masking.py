"""What is masked, in which forms, and what is left as it is."""

import base64
import json
import re
from random import Random
from urllib.parse import quote

import pytest

from harness.redaction import known_secrets, masking
from harness.redaction.learning import learn as learn_value
from harness.redaction.masking import excerpt, mask, secret_name
from tests.unit.redaction.forms import PLAIN_FORMS, SECRET_FORMS

SECRET = "q7Zr/kW2+pL9 vT4xN8\"bM3'é"


@pytest.mark.parametrize("text", SECRET_FORMS)
def test_what_is_secret_by_its_form(text):
    assert "PW7" not in mask(text) and "***" in mask(text)
    assert mask(mask(text)) == mask(text)


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


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["://a:", "http://a:b", "://a@", "A_", "a-", "--token", "key", "eyJ", "\\", "aA1+/="])
def test_long_lines_take_linear_time(unit):
    """Quadratic time is about an hour here: it ends under the timeout of pytest, or it does not."""
    text = unit * (200_000 // len(unit))
    mask(text)
    mask(f"--token {text} authorization: {text} @")
    known_secrets.learn_config(text)

"""GET /v1/models in the forms in which servers answer it."""

import email.message
import ssl
import urllib.error

import pytest

from harness.engines import Deployment, Server, model_list
from harness.engines.endpoint import Endpoint, EndpointConfig
from harness.engines.model_list import ServedModel, is_served, list_models, read_models
from harness.errors import EngineError

SERVER = Server("http://127.0.0.1:1", "llama")


@pytest.fixture
def answers(monkeypatch):
    def set_answer(body=b"", status=200, **headers):
        def fetch(request, timeout_s):
            if status != 200:
                message = email.message.Message()
                for name, value in headers.items():
                    message[name] = value
                raise urllib.error.HTTPError(request.full_url, status, "", message, None)
            return body

        monkeypatch.setattr(model_list, "fetch", fetch)

    return set_answer


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'{"object": "list", "data": [{"id": "llama", "max_model_len": 99}, {"id": "b"}]}', ["llama", "b"]),
        (b'[{"id": "llama", "type": "chat"}, {"id": "b"}]', ["llama", "b"]),
        (b'{"models": [{"name": "llama"}, {"model": "b"}]}', ["llama", "b"]),
        (b'{"data": ["llama"]}', ["llama"]),
        (b'["llama"]', ["llama"]),
        (b'{"object": "list", "data": null}', []),
        (b"[]", []),
        (b'{"data": [{"id": "llama"}, {"created": 3}]}', None),
        (b'{"data": [{"id": "a"}], "has_more": true}', None),
        (b'{"id": "llama"}', None),
        (b"{}", None),
    ],
)
def test_forms(answers, body, names):
    answers(body)
    assert list_models(SERVER) == names
    assert is_served(SERVER) is (names is None or "llama" in names)


def test_the_context_length_is_kept(answers):
    answers(b'[{"id": "llama", "max_model_len": 99}]')
    assert read_models(SERVER) == [ServedModel("llama", 99)]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"body": b"<!doctype html><title>Welcome</title>"}, "answers a web page, not JSON; is engine.base_url"),
        ({"body": b""}, "an empty body"),
        ({"body": b"OK"}, "'OK'"),
        ({"body": b'{"error": {"message": "bad key"}}'}, "answers an error: .*bad key"),
        ({"body": b'{"detail": "Not authenticated"}'}, "answers an error: Not authenticated"),
        ({"status": 401}, "HTTP 401; set engine.api_key_env"),
        ({"status": 503}, "HTTP 503"),
        (
            {"status": 308, "Location": "https://h.example/v1/models"},
            "308: redirects to .*engine.base_url=https://h.example ",
        ),
    ],
)
def test_what_is_no_list_is_said(answers, answer, words):
    answers(**answer)
    with pytest.raises(EngineError, match=words):
        list_models(SERVER)
    assert not is_served(SERVER)


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_the_route_serves_what_the_user_says(answers, tmp_path, status):
    answers(status=status)
    engine = Endpoint(EndpointConfig(base_url="http://127.0.0.1:1", model="mine"), tmp_path)
    with engine.serve(Deployment("v", "m"), tmp_path / "log") as server:
        assert server.model == "mine"
    engine = Endpoint(EndpointConfig(base_url="http://127.0.0.1:1"), tmp_path)
    with (
        pytest.raises(EngineError, match=r"does not list its models at /v1/models; set engine.model"),
        engine.serve(Deployment("v", "m"), tmp_path / "log"),
    ):
        pass


def test_a_model_that_is_not_served_is_refused_with_those_that_are(answers, tmp_path):
    answers(b"[" + b", ".join(b'{"id": "m%d"}' % n for n in range(200)) + b"]")
    engine = Endpoint(EndpointConfig(base_url="http://127.0.0.1:1", model="mine"), tmp_path)
    with (
        pytest.raises(EngineError, match=r"does not serve 'mine'; it serves m0, m1, .* and 192 more; set engine.model"),
        engine.serve(Deployment("v", "m"), tmp_path / "log"),
    ):
        pass


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b"9" * 5000, b'{"data": ' + b"[" * 900 + b"]" * 900 + b"}", b"\xff\xfe"]
)
def test_an_answer_of_any_bytes_is_a_list_or_an_error_with_words(answers, body):
    answers(body)
    try:
        assert list_models(SERVER) is None
    except EngineError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize("status", [301, 307])
def test_a_location_that_is_no_url_is_said(answers, status):
    answers(status=status, location="http://[::1/v1/models")
    with pytest.raises(EngineError, match="no URL"):
        list_models(SERVER)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (Server("http://127.0.0.1:1", "llama"), "set engine.api_key_env to the name of the environment variable"),
        (Server("http://127.0.0.1:1", "llama", "MY_KEY"), "check the key in the environment variable MY_KEY"),
        (Server("http://me:secret@127.0.0.1:1", "llama"), "check the credentials in its URL"),
    ],
)
def test_a_refused_key_is_named_by_its_variable(answers, server, said):
    answers(status=401)
    with pytest.raises(EngineError, match=said) as raised:
        list_models(server)
    assert "secret" not in str(raised.value) and len(str(raised.value).splitlines()) == 1


def test_tls_without_a_known_authority_is_said(monkeypatch):
    def fetch(request, timeout_s):
        raise urllib.error.URLError(ssl.SSLCertVerificationError("self-signed certificate"))

    monkeypatch.setattr(model_list, "fetch", fetch)
    with pytest.raises(EngineError, match="SSL_CERT_FILE"):
        list_models(SERVER)


def test_each_target_has_a_key_and_a_price_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("NEW_KEY", "k" * 24)
    price = {"per_million_prompt_tokens": 2.0, "date": "2026-11-20", "source": "LIST"}
    new = {"base_url": "http://127.0.0.1:2", "api_key_env": "NEW_KEY", "price": price}
    engine = Endpoint(EndpointConfig(base_url="http://127.0.0.1:1", model="m", targets={"new": new}), tmp_path)
    assert engine.problems() == []
    assert engine.target("new").api_key_env == "NEW_KEY" and engine.target("old").api_key_env is None
    assert engine.price_of("new").per_million_prompt_tokens == 2.0 and not engine.price_of("old").known
    engine.config.targets = {"new": new | {"api_key_env": "NO_KEY", "price": {"per_token": 1}}}
    keyless, unpriced = sorted(engine.problems())
    assert keyless.startswith("engine.targets.new.api_key_env") or unpriced.startswith("engine.targets.new.api_key_env")
    assert "engine.targets.new.price: unknown key 'per_token'" in keyless + unpriced

"""API keys and the credentials of URLs: read in one place, refused without being shown."""

import base64
import dataclasses

import pytest

from harness.config.schema import Config, Judge
from harness.engines import Deployment, Server
from harness.engines import environment as environments
from harness.engines.credentials import (
    argument_problems,
    key_problems,
    read_key,
    split_url,
    url_problems,
    without_credentials,
)
from harness.engines.endpoint import Endpoint, EndpointConfig
from harness.engines.environment import EnvironmentConfig
from harness.errors import ConfigError
from harness.sweeps.fingerprint import fingerprint

BASIC = f"Basic {base64.b64encode(b'bob:p@ss').decode()}"


@pytest.mark.parametrize("around", ["{}\r", "{}\r\n", "  {}\t", "{}", "\u00a0{}\n"])
def test_white_space_around_a_key_is_removed(around, monkeypatch):
    monkeypatch.setenv("K", around.format("sk-test-SECRET123"))
    assert read_key("K") == "sk-test-SECRET123"
    assert Server("http://h", "m", "K").headers == {"Authorization": "Bearer sk-test-SECRET123"}


@pytest.mark.parametrize("inside", ["SECRET\r\n123", "SECRET 123", "SECRET\x01123", "SECRETé123", "\ufeffSECRET123"])
def test_a_key_that_no_header_can_carry_is_refused(inside, monkeypatch):
    monkeypatch.setenv("K", inside)
    for asked in (lambda: read_key("K"), lambda: Server("http://h", "m", "K").headers):
        with pytest.raises(ConfigError, match="environment variable K holds") as refused:
            asked()
        assert "SECRET" not in str(refused.value) and "123" not in str(refused.value)
    [problem] = key_problems("engine.api_key_env", "K", True)
    assert problem.startswith("engine.api_key_env: the environment variable K") and "SECRET" not in problem


def test_unset_blank_and_misplaced_keys(monkeypatch):
    monkeypatch.setenv("BLANK", " \r\n")
    assert read_key("BLANK") is None and read_key(None) is None and read_key("UNSET_KEY") is None
    assert "not set or blank" in key_problems("engine.api_key_env", "BLANK", True)[0]
    assert key_problems("judge.api_key_env", "UNSET_KEY", False) == []
    for key in ("sk-test-SECRET123", "0123456789abcdef0123456789abcdef", "QWERTYUIOPASDFGHJKLZXCVBNM"):
        [problem] = key_problems("engine.api_key_env", key, True)
        assert key not in problem and "not the key" in problem


def test_credentials_of_a_url_become_a_header():
    server = Server("http://bob:p%40ss@h:8000/path", "m")
    assert server.base_url == "http://h:8000/path" and server.headers == {"Authorization": BASIC}
    assert "p%40ss" not in repr(server) and BASIC not in repr(server)
    assert dataclasses.replace(server, model="n").headers == server.headers
    assert split_url("http://h/a@b") == ("http://h/a@b", None)
    assert without_credentials("http://bob:p@ss@[::1]:1/x@y") == "http://[::1]:1/x@y"
    with pytest.raises(ConfigError, match="put them back"):
        split_url("http://***@h")


@pytest.mark.parametrize(
    "url", ["http://h:SECRET", "http://a:b/SECRET@h", "h:8000", "ftp://h", "http://", "http://h:8000?key=SECRET"]
)
def test_an_address_that_is_none_is_refused_without_being_shown(url):
    [problem] = url_problems("engine.base_url", url)
    assert problem.startswith("engine.base_url") and "SECRET" not in problem


def test_good_addresses():
    for url in ("http://127.0.0.1:8000", "https://api.example.org/v1/", "http://u:p@[::1]:80/v1", None, ""):
        assert url_problems("engine.base_url", url) == []


def test_secrets_among_arguments():
    words = ["--api-key=SECRET", "--hf-token", "SECRET", "--model", "m", "--index-url", "http://u:SECRET@h"]
    found = argument_problems("engine.args", words, "remove it")
    assert len(found) == 3 and not any("SECRET" in problem for problem in found)
    assert argument_problems("engine.args", ["--max-num-batched-tokens", "8", "--tokenizer", "x"], "") == []
    for word in ("git+ssh://git@github.com/org/repo@v1", "ssh://git@host", "--reasoning-end-token", "--eos-token=</s>"):
        assert argument_problems("engine.args", [word], "") == [], word
    config = EnvironmentConfig(install=["--extra-index-url https://u:SECRET@h/simple vllm"])
    [problem] = environments.problems(config)
    assert "PIP_EXTRA_INDEX_URL" in problem and "SECRET" not in problem


def test_other_credentials_are_the_same_server_and_change_no_fingerprint(tmp_path):
    def printed(url: str) -> dict:
        return Endpoint(EndpointConfig(base_url=url, model="m"), tmp_path).deployment_fingerprint(Deployment("v", "m"))

    assert printed("http://a:b@h") == printed("http://c:d@h") == printed("http://h") != printed("http://other")
    one, two = ({"engine": {"env": {"HF_TOKEN": token, "A": "1"}}} for token in ("x", "y"))
    assert fingerprint(one) == fingerprint(two) != fingerprint({"engine": {"env": {"HF_TOKEN": "x", "A": "2"}}})
    switch, place = "SGLANG_PER_TOKEN_GROUP_QUANT_8BIT_V2", "git+ssh://git@github.com/org/repo"
    assert fingerprint({"env": {switch: "0"}}) != fingerprint({"env": {switch: "1"}})
    assert fingerprint({"at": place}) != fingerprint({"at": place.replace("git@", "***@")})
    assert environments.fingerprint(EnvironmentConfig(env={"PIP_INDEX_URL": "https://u:SECRET@h/simple"})) == {
        "install": [],
        "uninstall": [],
        "env": {"PIP_INDEX_URL": "https://***@h/simple"},
    }
    assert Config.__dataclass_fields__["judge"].default is None and Judge().api_key_env == "OPENAI_API_KEY"

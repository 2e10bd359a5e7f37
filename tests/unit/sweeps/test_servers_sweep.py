"""The sweep of servers that run already needs their addresses, and `harness servers` writes its settings."""

import json
import sys

import pytest

from harness.errors import ConfigError
from harness.sweeps import servers
from harness.sweeps.composing.compose import compose_sweep

URLS = ("engine.targets.old.base_url=http://127.0.0.1:8000", "engine.targets.new.base_url=http://127.0.0.1:8001")
SERVERS = ("old=http://127.0.0.1:8000", "new=http://127.0.0.1:8001")


def test_two_addresses_and_a_model_are_a_sweep():
    config = compose_sweep(["+sweep=servers", "model=ORG/NAME", *URLS])
    assert list(config.variants) == ["old", "new"] and config.baseline == "old"
    assert not config.suites and config.load.capacity.probes and config.engine.kind == "endpoint"


def test_an_address_that_is_not_given_is_named():
    with pytest.raises(ConfigError, match=r"engine\.targets\.new\.base_url"):
        compose_sweep(["+sweep=servers", "model=ORG/NAME", URLS[0]])


@pytest.fixture
def typed(monkeypatch):
    """What the sweep would run with, for the words after `harness servers`."""

    def run(*words):
        monkeypatch.setattr("harness.sweeps.command.main", lambda: 0)
        monkeypatch.setattr(sys, "argv", ["harness servers", *words])
        assert servers.main() == 0
        return compose_sweep([word for word in sys.argv[1:] if not word.startswith("--")])

    return run


@pytest.fixture
def log(tmp_path):
    file = tmp_path / "my log, of monday.jsonl"
    rows = [{"messages": [{"role": "user", "content": f"question {n}"}], "max_tokens": 8} for n in range(3)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_two_servers_and_an_slo_are_a_search_on_generated_traffic(typed):
    config = typed(*SERVERS, "--slo", "ttft_ms_p99=1000,itl_ms_p99=50", "dry_run=true", "--fresh")
    assert config.engine.targets == {name: {"base_url": url} for name, url in (one.split("=", 1) for one in SERVERS)}
    assert config.scenarios["chat_512_256"].slo == {"ttft_ms_p99": 1000, "itl_ms_p99": 50}
    assert config.load.capacity.probes and config.dry_run and "--fresh" in sys.argv
    other = typed(*SERVERS, "--slo", "itl_ms_mean=50", "scenario=[rag_1024_128]")
    assert other.scenarios["rag_1024_128"].slo == {"itl_ms_mean": 50}


def test_servers_have_the_names_that_they_are_given(typed):
    config = typed("vllm=http://h:1", "sglang=http://h:2/v1", "old=http://h:3", "--slo", "e2e_ms_p99=9000")
    assert set(config.variants) == {"vllm", "sglang", "old"} == set(config.engine.targets)
    assert config.baseline == "vllm" and config.variants["sglang"].label == "sglang"
    assert config.engine.targets["sglang"]["base_url"] == "http://h:2/v1"


def test_a_log_is_sent_as_it_is_and_without_an_slo_compared_by_repeats(typed, log):
    config = typed(*SERVERS, "--log", str(log))
    (scenario,) = config.scenarios.values()
    assert (scenario.send, scenario.text, scenario.slo) == ("verbatim", str(log), {})
    assert config.load.single_stream_requests == 3 and config.load.repeats == 3 and not config.load.capacity.probes
    at_rate = typed(*SERVERS, "--log", str(log), "--slo", "e2e_ms_p99=9000", "--rps", "2.5", "--max-tokens", "64")
    assert at_rate.load.rates_rps == [2.5] and at_rate.load.capacity.probes
    assert at_rate.scenarios["log"].output_tokens == 64


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["http://h:1"], "a server is NAME=URL"),
        (["a=http://h:1", "a=http://h:2"], "a: the name of two servers"),
        (["dry_run=true"], "no server; name them: old=http://HOST:8000"),
        (["a=http://h:1", "--slo", "itl_ms_p99<50"], "a limit is METRIC=VALUE"),
        (["a=http://h:1", "--log", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
        (["a=http://h:1", "--log", "requests.txt"], "requests.txt is none"),
    ],
)
def test_a_mistake_is_one_line(words, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["harness servers", *words])
    assert servers.main() == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("error: ") and error.count("\n") == 1

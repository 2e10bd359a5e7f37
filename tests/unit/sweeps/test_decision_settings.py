"""`decision.*`: its former name, and what is refused before anything runs."""

import pytest

from harness.errors import ConfigError
from harness.sweeps.composing.compose import compose_sweep


def decision(*overrides: str):
    return compose_sweep(["+sweep=which_compression", "model=org/name", "suite=[mmlu]", *overrides]).decision


def test_margin_is_the_former_name_of_decision_margin():
    assert decision("margin=0.02") == decision("decision.margin=0.02")
    assert decision("margin=0.02").margin == 0.02
    with pytest.raises(ConfigError, match=r"set decision\.margin alone"):
        decision("margin=0.02", "decision.margin=0.03")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("decision.margin=1", "at least 0, below 1"),
        ("decision.suites=[mmul]", "did you mean 'mmlu'"),
        ("decision.suites=[]", "nothing decides"),
        ("decision.objective=[speed]", "decision.objective: no 'speed'"),
        ("decision.objective=[]", "one or a list of latency"),
        ("decision.objective=[size,size]", "name each objective once"),
        ("decision.objective=cost", "set report.price.per_gpu_hour"),
        ("decision.fidelity.perplexity_ratio=0.98", "must be above 1"),
        ("decision.fidelity.kl_nats=0", "must be above 0"),
        ("decision.fidelty.kl_nats=0.1", "unknown key 'decision.fidelty'"),
    ],
)
def test_what_cannot_decide_is_refused(override, said):
    with pytest.raises(ConfigError, match=said.replace("[", r"\[")):
        decision(override)


def test_a_text_is_limited_by_fidelity_and_never_named_as_a_suite():
    with pytest.raises(ConfigError, match="perplexity scores a text"):
        decision("suite=[mmlu,perplexity]", "decision.suites=[perplexity]")
    found = decision("suite=[mmlu,perplexity]", "decision.suites=[]", "decision.fidelity.perplexity_ratio=1.02")
    assert found.fidelity.perplexity_ratio == 1.02

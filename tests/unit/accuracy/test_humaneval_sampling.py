import pytest

from harness.accuracy.humaneval.sampling import pass_at_k, sample_seed
from harness.accuracy.humaneval.suite import HumanEval, HumanEvalConfig
from harness.errors import ConfigError


def test_pass_at_k_is_evalplus_own_estimate():
    from evalplus.eval import estimate_pass_at_k

    for n, k in [(1, 1), (5, 1), (5, 5), (10, 3), (200, 1), (200, 10), (200, 100), (1000, 100)]:
        rights = sorted({0, 1, n // 3, n // 2, n - 1, n})
        expected = estimate_pass_at_k(n, rights, k)
        assert [pass_at_k(n, right, k) for right in rights] == pytest.approx(expected, rel=0, abs=1e-12)


def test_pass_at_1_of_one_answer_is_exactly_0_or_1():
    assert (pass_at_k(1, 0, 1), pass_at_k(1, 1, 1)) == (0.0, 1.0)


def test_the_estimate_is_unbiased():
    """Its mean over what n samples may bring is 1 - (1 - p)^k."""
    from scipy.stats import binom

    n, k, p = 20, 5, 0.13
    mean = sum(binom.pmf(right, n, p) * pass_at_k(n, right, k) for right in range(n + 1))
    assert mean == pytest.approx(1 - (1 - p) ** k, abs=1e-12)


def test_every_sample_has_a_seed_of_its_own_that_repeats():
    names = [f"HumanEval/{item}" for item in range(164)]
    seeds = {sample_seed(seed, name, index) for seed in (0, 1) for name in names for index in range(20)}
    assert len(seeds) > 6555 and 0 <= min(seeds) <= max(seeds) < 2**31
    assert sample_seed(0, "HumanEval/0", 3) == 438751740


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"samples": 0}, "samples must be at least 1: 0"),
        ({"samples": 5}, "5 samples at temperature 0 would all be the same; set temperature"),
        ({"temperature": -0.1}, "temperature must be 0"),
        ({"temperature": float("nan")}, "temperature must be 0"),
        ({"temperature": 0.8, "top_p": 0.0}, "top_p must be above 0"),
        ({"k": []}, "k must be a list"),
        ({"k": [0]}, "k must be a list"),
        ({"k": [1, 1]}, "k must be a list"),
        ({"samples": 5, "temperature": 0.8, "k": [1, 10]}, "pass@10 needs at least 10 samples an item; samples is 5"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_by_name(change, said):
    with pytest.raises(ConfigError, match=f"suite h: {said}"):
        HumanEval("h", HumanEvalConfig(**change))

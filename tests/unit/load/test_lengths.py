import dataclasses

import numpy as np
import pytest
from scipy import stats

from harness.config.workloads import Scenario, Spread
from harness.errors import ConfigError
from harness.loadgen.traffic.lengths import check_shape, draw_lengths

SPREADS = [
    (512, Spread("uniform", 0.5)),
    (512, Spread("normal", 0.3)),
    (512, Spread("normal", 1.0, 100, 800)),
    (512, Spread("lognormal", 1.0)),
    (512, Spread("lognormal", 1.5, 16, 1024)),  # a quarter of what it would be lies beyond max
    (1000, Spread("lognormal", 1.0, 16, 1024)),  # nearly all of it
    (64, Spread("lognormal", 2.0, 32)),
]


def name(case) -> str:
    mean, spread = case
    return f"{spread.kind} {mean} cv {spread.cv} {spread.min} {spread.max}"


@pytest.mark.parametrize(("mean", "spread"), SPREADS, ids=map(name, SPREADS))
def test_the_mean_is_the_scenarios_whatever_is_cut_off(mean, spread):
    lengths = np.array(draw_lengths(mean, spread, 20_000, seed=1))
    assert lengths.mean() == pytest.approx(mean, rel=0.005)
    assert lengths.min() >= spread.min
    assert spread.max is None or lengths.max() <= spread.max


@pytest.mark.parametrize("kind", ["uniform", "normal", "lognormal"])
def test_the_spread_is_what_was_asked_where_nothing_is_cut_off(kind):
    lengths = np.array(draw_lengths(2000, Spread(kind, 0.25), 20_000, seed=2))
    assert lengths.std() / lengths.mean() == pytest.approx(0.25, rel=0.02)


def test_the_distribution_is_the_one_named():
    sigma = np.sqrt(np.log(2))
    known = {
        "uniform": (0.4, stats.uniform(2000 - np.sqrt(3) * 800, 2 * np.sqrt(3) * 800)),
        "normal": (0.2, stats.norm(2000, 400)),
        "lognormal": (1.0, stats.lognorm(sigma, scale=2000 * np.exp(-(sigma**2) / 2))),
    }
    for kind, (cv, distribution) in known.items():
        lengths = draw_lengths(2000, Spread(kind, cv), 5000, seed=3)
        assert stats.kstest(lengths, distribution.cdf).statistic < 0.01, kind


def test_truncated_lengths_do_not_pile_up_at_the_bounds():
    lengths = np.array(draw_lengths(512, Spread("normal", 1.0, 100, 800), 20_000, seed=4))
    assert (lengths == 800).mean() < 0.01
    assert (lengths == 100).mean() < 0.01


def test_few_requests_have_nearly_the_mean_too():
    """Stratified: 32 independent draws with cv 1 miss it by 18 % one time in three."""
    means = [np.mean(draw_lengths(512, Spread("lognormal", 1.0, 16, 4096), 32, seed)) for seed in range(50)]
    assert np.std(means) / 512 < 0.08
    assert np.mean(means) == pytest.approx(512, rel=0.03)


def test_neighbours_are_independent():
    lengths = draw_lengths(512, Spread("lognormal", 1.0), 20_000, seed=5)
    assert np.corrcoef(lengths[:-1], lengths[1:])[0, 1] == pytest.approx(0.0, abs=0.03)


def test_the_seed_decides():
    spread = Spread("normal", 0.5)
    assert draw_lengths(512, spread, 9, seed=1) == draw_lengths(512, spread, 9, seed=1)
    assert draw_lengths(512, spread, 9, seed=1) != draw_lengths(512, spread, 9, seed=2)
    assert draw_lengths(512, Spread(), 3, seed=1) == [512] * 3


REFUSED = [
    (Spread("logarithmic", 1.0), "no distribution 'logarithmic'; did you mean 'lognormal'"),
    (Spread("fixed", 0.5), "no meaning for fixed"),
    (Spread("normal"), "cv: a normal distribution needs one above 0"),
    (Spread("normal", -1.0), "above 0, got -1"),
    (Spread("normal", 0.5, 0), "min: at least 1"),
    (Spread("normal", 0.5, 1, 400), "mean of 512 tokens must lie between min 1 and max 400"),
    (Spread("normal", 0.5, 512, 600), "must lie between min 512"),
    (Spread("fixed", 0.0, 600), "must lie between min 600"),
    (Spread("uniform", 0.6), r"cv of at most 0\.577, got 0\.6"),
    (Spread("uniform", 0.5, 1, 600), r"cv of at most 0\.100"),
    (Spread("normal", 4.0, 1, 513), "no such distribution has this mean"),
]


@pytest.mark.parametrize(("spread", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_cannot_be_drawn_is_refused(spread, words):
    with pytest.raises(ConfigError, match=rf"prompt_spread.*{words}"):
        draw_lengths(512, spread, 3, 1, "prompt_spread")


SHAPES = [
    ({"prompt_tokens": 0}, "prompt_tokens: at least 1"),
    ({"output_tokens": -4}, "output_tokens: at least 1"),
    ({"shared_prefix_tokens": 512}, "below the shortest prompt's 512"),
    ({"shared_prefix_tokens": 50, "prompt_spread": Spread("normal", 0.5)}, r"shortest prompt's 1.*prompt_spread\.min"),
    ({"send_as": "txt"}, "did you mean 'text'"),
    ({"turns": 0}, "at least 1 turn"),
    ({"turns": 2, "turn_tokens": 0}, "1 token"),
    ({"turn_tokens": 30}, "set turns above 1"),
    ({"turns": 2, "send_as": "text"}, "set send_as: ids"),
    ({"output_spread": Spread("fixed", 1.0)}, "output_spread"),
]


@pytest.mark.parametrize(("change", "words"), SHAPES, ids=[words for _, words in SHAPES])
def test_scenarios_that_make_no_sense_are_refused(change, words):
    scenario = Scenario(prompt_tokens=512, output_tokens=256)
    check_shape(scenario)
    with pytest.raises(ConfigError, match=words):
        check_shape(dataclasses.replace(scenario, **change))

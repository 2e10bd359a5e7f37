"""Five variants that are as good as the baseline: how often a headline calls one of them different."""

import numpy as np

from harness.analysis.quality.accuracy import average_recovery
from harness.analysis.quality.paired import Paired
from harness.analysis.statistics.significance import ALPHA, holm

STUDIES, VARIANTS, ITEMS = 150, 5, 400


def test_a_significant_difference_among_equal_variants_is_as_rare_as_promised():
    """Two suites of 400 items, 12 % of which flip; every variant against the same baseline, as in a study."""
    rng, nominal, corrected = np.random.default_rng(12), 0, 0
    for study in range(STUDIES):
        bases = [(rng.random(ITEMS) < score).astype(float) for score in (0.5, 0.7)]
        p = {}
        for name in range(VARIANTS):
            pairs = {}
            for suite, base in zip(("one", "two"), bases, strict=True):
                share = 0.06 / np.where(base == 1, base.mean(), 1 - base.mean())
                own = np.where(rng.random(ITEMS) < share, 1 - base, base)
                pairs[suite] = Paired(base, own, (None,) * ITEMS)
            p[str(name)] = average_recovery(pairs, 0.01, study, resamples=1000).p
        nominal += min(p.values()) < ALPHA
        corrected += min(value for value in holm(p).values() if value is not None) < ALPHA
    assert nominal / STUDIES > 0.1, "uncorrected, one of five equal variants is often called different"
    assert corrected / STUDIES < 0.05 + 2 * np.sqrt(0.05 * 0.95 / STUDIES)

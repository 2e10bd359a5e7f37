"""Ratios, vendor's share and roofline of products whose times are known; the interval of a median."""

import numpy as np
import pytest

from harness.analysis import analyse, build_study
from harness.analysis.scalars import scalars
from harness.analysis.statistics.intervals import median_interval
from harness.records.manifest import Manifest
from harness.records.record import Record
from tests.unit.gemm.samples import BATCHES, H100, LAYERS, gemm_parts


def findings(**options):
    manifest, records, rows = gemm_parts(**options)
    return analyse(
        build_study(
            Manifest.from_json(manifest), list(map(Record.from_json, records)), lambda record: rows[record.cell.key], []
        )
    )


def test_a_ratio_is_taken_within_a_round():
    """The rounds differ by 5 %, both formats alike: paired, the ratio is exact."""
    found = findings().gemm
    for batch in BATCHES:
        speedup = found.wholes["fp8"][batch].speedup
        assert speedup.value == pytest.approx(2.0)
        assert speedup.low == pytest.approx(2.0) and speedup.high == pytest.approx(2.0)
    assert found.means["sparse_fp8"].value == pytest.approx(2.5)
    assert found.wholes["bf16"][1].speedup is None and "bf16" not in found.means


def test_a_layer_is_the_sum_of_its_products():
    found = findings().gemm
    whole = found.wholes["bf16"][1024]
    parts = [found.products["bf16", layer, 1024] for layer in LAYERS]
    assert whole.seconds == pytest.approx(sum(part.seconds for part in parts))
    assert whole.flops == 2 * 1024 * (6144 * 4096 + 4096 * 14336)


def test_the_vendors_best_is_the_fastest_that_answers_rightly():
    found = findings().gemm
    assert {product.kernel for product in found.vendors.values()} == {"vendor fast"}
    assert found.wholes["fp8"][16].of_vendor == pytest.approx(0.9)


def test_the_roofline_by_hand():
    found = findings().gemm
    small, large = found.products["fp8", "qkv_proj", 1], found.products["fp8", "qkv_proj", 1024]
    assert small.bytes / H100["bandwidth"] > small.flops / H100["peak"]["fp8"], "a decode step waits for memory"
    assert large.bytes / H100["bandwidth"] < large.flops / H100["peak"]["fp8"]
    least = sum(max(p.flops / 1978.9e12, p.bytes / 3.35e12) for p in (found.products["fp8", la, 1024] for la in LAYERS))
    assert found.wholes["fp8"][1024].of_roof == pytest.approx(least / found.wholes["fp8"][1024].seconds)


def test_an_unknown_peak_stays_unknown():
    cpu = {"name": "this CPU", "source": "measured", "bandwidth": 2e10, "peak": {"fp32": 6e10}}
    assert findings(roof=cpu).gemm.wholes["fp8"][16].of_roof is None
    assert findings(roof=None).gemm.roofs == {}


def test_a_wrong_product_has_no_speed():
    found = findings(wrong="fp8")
    assert not found.gemm.wholes["fp8"][16].valid
    assert found.gemm.highest["fp8"][0] != 16
    assert "speedup/gemm" in scalars(found, "sparse_fp8")


def test_a_layer_that_was_not_measured_leaves_no_whole():
    manifest, records, rows = gemm_parts()
    rows["fp8/gemm/down_proj"] = [row for row in rows["fp8/gemm/down_proj"] if row["batch"] != 1024]
    study = build_study(
        Manifest.from_json(manifest), list(map(Record.from_json, records)), lambda record: rows[record.cell.key], []
    )
    found = analyse(study).gemm
    assert set(found.wholes["fp8"]) == {1, 16} and set(found.wholes["bf16"]) == set(BATCHES)


def test_a_study_without_products_has_no_such_findings():
    manifest, _, _ = gemm_parts()
    manifest["cells"] = []
    assert analyse(build_study(Manifest.from_json(manifest), [], lambda record: [], [])).gemm is None


@pytest.mark.parametrize("n", [6, 7, 9, 12, 25])
def test_the_interval_of_a_median_covers_it(n):
    """Of a skewed distribution, 4,000 times: at least 95 %, less the noise of counting."""
    rng = np.random.default_rng(n)
    draws = rng.lognormal(0, 1, size=(4000, n))  # its median is 1
    held = [e.low <= 1 <= e.high for e in map(median_interval, draws)]
    assert np.mean(held) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 4000)


def test_few_rounds_have_no_interval():
    assert not median_interval([1.0, 2.0, 3.0, 4.0, 5.0]).bounded
    found = median_interval(list(range(1, 10)))
    assert (found.value, found.low, found.high) == (5, 2, 8)

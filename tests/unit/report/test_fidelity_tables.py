"""Agreement, distance and known pairs as tables: every number has its interval, or the reason why it is not there."""

import numpy as np
import pytest

from harness.analysis import analyse
from harness.report.tables.fidelity import agreement_table, distance_table, known_pairs_table
from tests.unit.report.synthetic_study import build, parts


@pytest.fixture(scope="module")
def findings():
    manifest, records, rows = parts()
    rng = np.random.default_rng(3)
    for key, found in rows.items():
        if "-mmlu" in key:
            for row in found:
                row |= {"finish_reason": None, "logprobs": dict(zip("ABCD", rng.normal(-2, 1, 4), strict=True))}
        if "-gsm8k" in key and key != "accuracy-bf16-gsm8k":
            for number, row in enumerate(found):
                row["response"] = "A" if number % 4 else "A, said otherwise"
    again = next(r for r in records if r["cell"]["key"] == "accuracy-bf16-gsm8k")
    cell = again["cell"] | {"key": "again", "repeat": 1}
    manifest["cells"].append(cell)
    records.append(again | {"cell": cell})
    rows["again"] = [row | {"response": "B"} if row["id"] == "gsm8k-0" else row for row in rows["accuracy-bf16-gsm8k"]]
    for record in records:
        if record["cell"]["kind"] == "judge":
            kinds = {"other": {"accuracy": 0.6, "low": 0.4, "high": 0.77, "pairs": 30}}
            bias = {"position_bias": 0.2, "position_bias_low": 0.11, "position_bias_high": 0.28, "instructions": 30}
            record["result"]["details"]["calibration"] |= {"by_kind": kinds, **bias}
    return analyse(build(manifest, records, rows))


def row_of(table, *words):
    return next(row for row in table.rows if all(any(word == td.text for td in row) for word in words))


def test_agreement_has_intervals_and_the_baselines_own(findings):
    row = row_of(agreement_table(findings), "gsm8k", "Dense FP8")
    assert row[3].text.startswith("74.8 % [") and row[3].note.startswith("the baseline itself: 99.6 % [")
    assert row[4].text.startswith("100.0 % [") and "×" in row[5].text
    assert "250 of 1,319" in row[0].note


def test_multiple_choice_has_no_agreement_but_a_distance(findings):
    assert not any(row[0].text == "mmlu" for row in agreement_table(findings).rows)
    row = row_of(distance_table(findings), "mmlu", "INT4 W4A16")
    assert row[2].text == "570 items" and "[" in row[3].text and "≥" not in row[3].text and row[5].text.endswith("]")


def test_the_judge_is_shown_by_kind_with_its_bias(findings):
    table = known_pairs_table(findings)
    first, other = table.rows
    assert first[1].text == "all" and first[3].tone == "warn" and first[4].text == "+20.0 [+11.0, +28.0]"
    assert other[1].text == "other" and other[3].text == "60.0 % [40.0, 77.0]"


def test_all_rows_are_as_wide_as_their_heads(findings):
    for table in (agreement_table(findings), distance_table(findings), known_pairs_table(findings)):
        assert table.rows and {len(row) for row in table.rows} == {len(table.columns)}

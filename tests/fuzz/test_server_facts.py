"""/metrics and /v1/models of any bytes: what can be read, and an error with words for the rest."""

import json
import math

from hypothesis import example, given
from hypothesis import strategies as st

from harness.accuracy.generation import PAUSE_S, pause_s, retry_after_s
from harness.engines.metric_names import KNOWN
from harness.engines.model_list import parse_models
from harness.errors import EngineError
from harness.hub.waiting import bounded
from harness.loadgen.server_metrics import COUNTERS, GAUGES, Watched, parse
from harness.protocol.urls import redirect_words
from tests.fuzz.budget import examples
from tests.fuzz.foreign import JSON, NUMBERS, changed, damaged, encoded

NAMES = st.sampled_from([*KNOWN, "process_cpu_seconds_total", "vllm:", ""])
LABELS = st.sampled_from(["", '{engine="0"}', '{a="x } 3",b="{"}', "{", "}", '{le="+Inf"}'])
VALUES = st.one_of(
    NUMBERS.map(str), st.sampled_from(["NaN", "+Inf", "-Inf", "1_0", "0x5", "", "9" * 5000, "1e999", "3 1395066363000"])
)
LINE = st.tuples(NAMES, LABELS, VALUES).map(lambda parts: f"{parts[0]}{parts[1]} {parts[2]}") | st.text(max_size=20)
TEXT = st.lists(LINE, max_size=8).map("\n".join)


@examples(200)
@given(TEXT, TEXT)
def test_any_metrics_give_finite_numbers(first, second):
    dropped = set()
    before, after = parse(first, KNOWN, dropped), parse(second, KNOWN, dropped)
    for found in (before, after):
        assert set(found) <= {*COUNTERS, *GAUGES}
        assert all(math.isfinite(value) and value >= 0 for value in found.values())
    watched = Watched(before, dropped)
    watched.saw(1.0, after)
    json.dumps(watched.summary().to_json(), allow_nan=False)
    assert dropped <= set(KNOWN)


MODELS = [
    {"object": "list", "data": [{"id": "m", "max_model_len": 4096}, {"id": "n"}]},
    [{"id": "m"}],
    {"models": [{"name": "m"}, "n"]},
    {"error": {"message": "no"}},
]


@examples(175)
@given(
    (st.sampled_from(MODELS).flatmap(changed) | JSON).map(encoded)
    | st.sampled_from(MODELS).map(encoded).flatmap(damaged)
)
def test_any_model_list_is_one_or_an_error_with_words(body):
    try:
        entries = parse_models(body, "http://x/v1/models")
    except EngineError as error:
        assert "cannot be read" not in str(error), "the last resort was needed"
        return
    assert entries is None or all(entry.name.encode() is not None for entry in entries)


HEADER = st.text(max_size=40) | st.text("0123456789 \x1f²٣;=tr,", max_size=8)


@examples(75)
@given(HEADER | st.sampled_from(["http://[::1", "//", "http://u:p@h/v1/models", "\x00", "9" * 5000]))
@example("0\x1f")
@example("²")
def test_any_header_is_read(value):
    assert "redirect" in redirect_words(value, "/v1/models")
    assert retry_after_s(value, 0.0) >= 0.2 and pause_s(1, value) <= PAUSE_S
    assert len(bounded(value)) <= len(value) + 1

import json

import pytest

from harness.errors import ConfigError
from harness.loadgen.traffic.replay import Arrival, digest, read_trace, shared_tokens

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:48.6805900,879,0
"""
MOONCAKE = """{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 48, 49, 50, 51, 52, \
53, 54, 55, 56, 57, 2353, 2354]}

{"timestamp": 30535, "input_length": 600, "output_length": 26, "hash_ids": [46, 2366]}
"""


@pytest.fixture
def file(tmp_path):
    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def test_azure_traces_are_read_in_the_order_of_time(file):
    arrivals = read_trace(file("azure.csv", AZURE))
    assert [arrival.at_s for arrival in arrivals] == pytest.approx([0.0, 2.0, 4.314579], abs=1e-6)
    assert [(a.prompt_tokens, a.output_tokens, a.hash_ids) for a in arrivals] == [
        (374, 44, None),
        (879, 1, None),  # nothing generated: one token is the least that can be asked for
        (396, 109, None),
    ]


@pytest.mark.parametrize(
    "rows",
    [
        ["2024-05-10 23:59:59.500000+00:00", "2024-05-11 00:00:01+00:00"],
        ["5", "6.5"],
    ],
    ids=["with a zone", "in seconds"],
)
def test_azure_times_come_in_other_forms(file, rows):
    text = "\ufefftimestamp,Model,GeneratedTokens,ContextTokens\r\n" + "".join(f"{row},x,7,10\r\n" for row in rows)
    assert read_trace(file("azure.csv", text)) == [Arrival(0.0, 10, 7), Arrival(1.5, 10, 7)]


def test_mooncake_traces_say_what_is_shared(file):
    first, second = read_trace(file("mooncake.jsonl", MOONCAKE))
    assert (first.at_s, first.prompt_tokens, first.output_tokens, len(first.hash_ids)) == (0.0, 6955, 52, 14)
    assert (second.at_s, second.hash_ids) == (pytest.approx(3.053), (46, 2366))


def test_shared_tokens_are_those_of_a_common_beginning():
    def share(*lists: tuple[int, ...], tokens: int = 1100) -> tuple[int, int]:
        return shared_tokens(Arrival(0, tokens, 1, ids) for ids in lists)

    assert share((1, 2, 3), (1, 2, 3)) == (1100, 2200)
    assert share((1, 2, 3), (1, 2, 4)) == (1024, 2200)
    assert share((1, 2, 3), (4, 2, 3)) == (0, 2200), "a block counts only behind what it stood behind before"
    assert share((1, 2, 3), (1, 4, 3), (1, 2, 3)) == (512 + 1100, 3300)
    assert shared_tokens([Arrival(0, 100, 1), Arrival(0, 100, 1)]) == (0, 200)


ROW = '{"timestamp": 1, "input_length": 600, "output_length": 26, "hash_ids": [1, 2]}\n'
BROKEN = [
    ("trace.txt", "x", "not '.txt'"),
    ("trace.csv", "", "expected the columns TIMESTAMP"),
    ("trace.csv", "Timestamp,Request tokens,Response tokens\n5,472,18\n", "found Timestamp, Request tokens"),
    ("trace.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n", "no requests"),
    ("trace.csv", AZURE + "yesterday,3,4\n", r"trace\.csv:5: .*yesterday"),
    ("trace.csv", AZURE + "2023-11-16 18:15:46,3\n", r"trace\.csv:5"),
    ("trace.csv", AZURE + "2023-11-16 18:15:46,-3,4\n", r"trace\.csv:5: a length of -3"),
    ("trace.csv", AZURE + "nan,3,4\n", r"trace\.csv:5: .*nan"),
    ("trace.jsonl", "\n", "no requests"),
    ("trace.jsonl", ROW + "{\n", r"trace\.jsonl:2"),
    ("trace.jsonl", ROW + '{"time": 3}\n', r"trace\.jsonl:2: no timestamp, input_length, output_length among time"),
    ("trace.jsonl", ROW + "[1]\n", r"trace\.jsonl:2"),
    ("trace.jsonl", ROW.replace("[1, 2]", "[1]"), r"trace\.jsonl:1: 1 hash_ids; 600 tokens are 2 blocks of 512"),
    ("trace.jsonl", ROW + ROW.replace(', "hash_ids": [1, 2]', ""), "hash_ids in some requests and not in others"),
]


@pytest.mark.parametrize(("name", "text", "words"), BROKEN, ids=[words for *_, words in BROKEN])
def test_what_cannot_be_read_is_said_with_its_line(file, name, text, words):
    with pytest.raises(ConfigError, match=words):
        read_trace(file(name, text))


def test_the_digest_is_of_the_contents(file):
    assert digest(file("a.csv", AZURE)) == digest(file("b.csv", AZURE)) != digest(file("c.csv", AZURE + "\n"))
    with pytest.raises(ConfigError, match="no file nowhere"):
        digest("nowhere.csv")


def rows(times, **more) -> str:
    return "".join(json.dumps({"timestamp": t, "input_length": 9, "output_length": 3, **more}) + "\n" for t in times)


@pytest.mark.parametrize(
    ("times", "second_s"),
    [
        ([0, 3000, 3001, 6000], 3.0),  # Mooncake's
        ([27482.0, 30482.0], 3.0),  # the same numbers out of a spreadsheet
        ([1700000000, 1700000003, 1700000005, 1700000009], 3.0),  # since the epoch, in seconds
        ([1700000000.25, 1700000003.25, 1700000005.5], 3.0),
        ([1700000000250, 1700000003250, 1700000005500, 1700000009000], 3.0),
        ([1700000000250000, 1700000003250000], 3.0),
        ([5, 5, 5, 5], 0.0),
    ],
)
def test_timestamps_whose_unit_is_plain(file, times, second_s):
    assert read_trace(file("t.jsonl", rows(times)))[1].at_s == pytest.approx(second_s)


@pytest.mark.parametrize(
    "times",
    [
        [0.0, 0.5, 1.0],
        [77.25, 99.0],
        [0, 1, 1, 2, 4],
        [3600, 3610, 3612, 3625],
        [0, 400_000, 900_000, 1_400_000],
        list(range(0, 60_000, 25)),
        list(range(0, 60_000, 100)),
        [0, 30, 60, 120, 300, 600, 700],
    ],
    ids=[
        "fractions",
        "few fractions",
        "whole seconds",
        "slow seconds",
        "microseconds",
        "2 a minute",
        "36 an hour",
        "7 in 12 minutes",
    ],
)
def test_a_trace_in_another_unit_is_refused_until_its_unit_is_set(file, times):
    path = file("t.jsonl", rows(times))
    if times[-1] == 1_400_000:
        path = file("t.jsonl", rows([1000 * t for t in times]))
    with pytest.raises(ConfigError, match=r"unit of its timestamps is not certain.*as s, .*load\.trace_unit"):
        read_trace(path)
    assert read_trace(path, unit="s")[-1].at_s == pytest.approx(1e3 * read_trace(path, unit="ms")[-1].at_s)


@pytest.mark.parametrize("step_ms", [110, 300, 1000, 3000])
def test_whole_milliseconds_of_1_to_10_requests_a_second_need_no_unit(step_ms, file):
    """Mooncake's and Azure's published traces are in this range."""
    path = file("t.jsonl", rows(range(0, 60_000, step_ms)))
    assert read_trace(path)[1].at_s == pytest.approx(step_ms / 1e3)


def test_azure_numbers_in_milliseconds_are_refused(file):
    path = file("t.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(f"{400 * n},7,9\n" for n in range(9)))
    with pytest.raises(ConfigError, match=r"0\.0025 as s, 2\.5 as ms"):
        read_trace(path)
    assert read_trace(path, unit="ms")[1].at_s == pytest.approx(0.4)


def test_an_unknown_unit_is_named(file):
    with pytest.raises(ConfigError, match="trace_unit='sec'"):
        read_trace(file("t.jsonl", rows([0, 900])), unit="sec")


def test_no_more_is_read_than_is_replayed(file):
    path = file("t.jsonl", rows(range(0, 300 * 12_000, 300)) + "this is not JSON\n")
    assert [arrival.at_s for arrival in read_trace(path, 3)] == pytest.approx([0.0, 0.3, 0.6])
    with pytest.raises(ConfigError, match=r"t\.jsonl:12001"):
        read_trace(path)


def test_rows_out_of_order_are_replayed_in_order(file):
    late = [*range(300, 300 * 11_000, 300), 0]  # the earliest is the last
    assert len(read_trace(file("far.jsonl", rows(late)), 3)) == 3, "in order as far as it is read"
    shuffled = [600, 0, 300, *range(900, 300 * 11_000, 300), 150]
    path = file("near.jsonl", rows(shuffled))
    assert [arrival.at_s for arrival in read_trace(path, 4)] == pytest.approx([0.0, 0.15, 0.3, 0.6])
    assert read_trace(path, 4) == read_trace(path)[:4]

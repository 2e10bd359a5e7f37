"""JSON and text of others: what is refused, and at which line and byte."""

import json
import os

import pytest

from harness.untrusted import strict_json
from harness.untrusted.jsonlines import json_lines, read_text

REFUSED = {
    '{"a": 1,\n "b": {"c": 1, "c": 2}}': "the key 'c' twice in one object: line 2 column 16",
    '{"a": "{\\"a\\": 1}", "b": [{"a": 1}, {"a": 2}],\n"a": 3}': "the key 'a' twice in one object: line 2 column 1",
    '["1e999",\n 1e999]': "1e999 is too large for a floating-point number: line 2 column 2",
    "[1, NaN]": "NaN is not a number: line 1 column 5",
    "[-Infinity]": "-Infinity is not a number: line 1 column 2",
    "9" * 5000: "an integer of 5000 digits: line 1 column 1",
    f"[{'9' * 400}]": "an integer of 400 digits: line 1 column 2",
    f"[{'9' * 250}e99]": "is too large for a floating-point number: line 1 column 2",
    "[" * 200_000: "nested",
    "[" * 500 + "]" * 500: "nested",
    '{"a":' * 101 + "1" + "}" * 101: "nested deeper than 100 levels",
    "": "empty",
    " \n": "empty",
    "{}\n{}": "Extra data: line 2 column 1",
    '{"a": "\n"}': "Invalid control character at: line 1 column 8",
    '{"a"': "line 1 column 5",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_value_that_others_would_stumble_over_is_refused_with_its_place(text):
    for given in (text, text.encode()):
        with pytest.raises(ValueError) as found:
            strict_json.parse(given)
        assert REFUSED[text] in str(found.value) and len(str(found.value)) < 200


@pytest.mark.parametrize(
    "value", [None, 1, -1.5e-300, 10**30, "NaN 1e999", {"a": [{"a": {"a": 1}}, "é\u2028"]}, [[]] * 5, "x" * 10_000]
)
def test_ordinary_json_is_what_json_reads(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert strict_json.parse(text) == strict_json.parse(text.encode()) == json.loads(text) == value


def test_transformers_infinity_is_taken_where_asked():
    assert strict_json.parse('{"time_step_limit": [0.0, Infinity]}', infinity=True)["time_step_limit"][1] > 1e308
    with pytest.raises(strict_json.JsonError, match="NaN"):
        strict_json.parse("[NaN]", infinity=True)


def test_a_lone_surrogate_becomes_a_replacement_character():
    assert strict_json.parse('{"\\ud83d": ["\\uDE00x", "\\ud83d\\ude00"]}') == {"\ufffd": ["\ufffdx", "\U0001f600"]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_the_encoding(tmp_path, encoding):
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"a": "é\u0a0a"}\r\n\n{"a": 1}\n'.encode(encoding))
    assert [(n, json.loads(line)) for n, line in json_lines(path)] == [(1, {"a": "é\u0a0a"}), (3, {"a": 1})]
    assert read_text(path) == '{"a": "é\u0a0a"}\n\n{"a": 1}\n'


@pytest.mark.parametrize(
    "data, said",
    [
        (b"ok\nsch\xf6n\n", "line 2, byte 4: 0xf6 is not UTF-8 text"),
        (b"\xff\xfea\0\n\0\x00\xd8b\0", "line 2, byte 7 of the file: 0x00 is not UTF-16"),
        ("ab\ncd".encode("utf-16-le"), "line 1: a NUL character, as in UTF-16 without its mark"),
        (b"a\n\xe2\x82", "line 2, byte 1: 0xe2 is not UTF-8 text (unexpected end of data)"),
        (b"PK\x03\x04\x00\x00", "NUL character"),
    ],
)
def test_other_bytes_are_refused_with_line_and_byte(tmp_path, data, said):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    for read in (read_text, lambda path: list(json_lines(path))):
        with pytest.raises(ValueError) as found:
            read(path)
        assert said in str(found.value)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing", os.devnull):
        with pytest.raises(OSError):
            read_text(path)
        with pytest.raises(OSError):
            strict_json.read(path)

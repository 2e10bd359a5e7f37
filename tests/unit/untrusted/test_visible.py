"""Nothing from outside reaches a terminal, a log, a page or a file as a command."""

import io
import json
import logging

import pytest

from harness.console.output import MaskedFormatter, MaskedStream
from harness.console.progress import PlainProgress
from harness.console.terminal import console
from harness.report.files.markdown import markdown
from harness.report.pages.frame import safe_json
from harness.untrusted.visible import visible

HOSTILE = {
    "\x1b]0;title\x07\x1b[2J\x1b[31mall cells are measured\x1b[0m": "\\u001b]0;title\\u0007\\u001b[2J",
    "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\": "\\u001b]8;;http",
    "\x9b31m": "\\u009b31m",
    "a\rb": "a\\u000db",
    "\u202ecod.exe": "\\u202ecod.exe",
    "a\u2066b\u2069": "a\\u2066b\\u2069",
    "pass\u200bword": "pass\\u200bword",
    "a\u200db": "a\\u200db",
    "a\x00\x08\x7f": "a\\u0000\\u0008\\u007f",
    "\u2028x": "\\u2028x",
    "\ud800": "\\ud800",
    "\U000e0041": "\\udb40\\udc41",
}
FINE = ["", "plain", "tab\tand\nline", "naïve Modell ä", "模型", "👩\u200d💻", "می\u200cخواهم", "e\u0301", "שלום"]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_terminal_obeys_is_written_out(text):
    assert HOSTILE[text] in visible(text)
    assert visible(visible(text)) == visible(text)


@pytest.mark.parametrize("text", FINE)
def test_ordinary_text_stays(text):
    assert visible(text) == text


def test_a_windows_line_end_is_a_line_end():
    assert visible("a\r\nb") == "a\nb"


def made(text: str) -> list[str]:
    """What each sink makes of a text."""
    stream, log, plain = io.StringIO(), logging.LogRecord("x", logging.INFO, "", 0, "%s", (text,), None), io.StringIO()
    written = MaskedStream(stream)
    print("error:", text, file=written, flush=True)
    PlainProgress(plain).say(text)
    terminal = io.StringIO()
    shown = console(terminal, width=500)
    shown.print(text, highlight=False)
    return [stream.getvalue(), MaskedFormatter("%(message)s").format(log), plain.getvalue(), terminal.getvalue()]


@pytest.mark.parametrize("text", HOSTILE)
def test_every_sink_writes_it_out(text):
    for written in [*made(text), markdown(text), json.loads(str(safe_json({"a": [text]})))["a"][0]]:
        left = set(text) - set(visible(text)) - set("\n")
        assert not left & set(written), repr(written)


def test_markup_of_the_console_is_text():
    assert "[link=http://evil]x[/link][red]" in made("[link=http://evil]x[/link][red]")[3]


def test_a_line_of_foreign_text_is_no_entry_of_a_log():
    for written in made("one\n[   0:01] all cells are measured")[1:3]:
        assert "\n    [   0:01]" in written


def test_a_progress_bar_draws_its_line_again_and_a_message_does_not():
    stream = io.StringIO()
    written = MaskedStream(stream)
    for text in ("\r 10 %", "\r 20 %", "\n", "error: ", "\rok", "\n"):
        written.write(text)
        written.flush()
    assert stream.getvalue() == "\r 10 %\r 20 %\nerror: \\u000dok\n"


def test_own_colours_pass():
    stream = io.StringIO()
    print("\x1b[32mgood\x1b[0m", file=MaskedStream(stream).styled, flush=True)
    assert stream.getvalue() == "\x1b[32mgood\x1b[0m\n"


@pytest.mark.parametrize(
    "text", ["| a | b |", "<b>x</b>", "[x](http://evil)", "![x](http://evil)", "- item", "---", "`x`"]
)
def test_markdown_of_others_is_text(text):
    written = markdown(text)
    assert written != text and "<" not in written and "](" not in written.replace("\\](", "")

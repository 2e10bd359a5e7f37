"""Errors that a user can act on: what is wrong, where, what to do. They are printed without a traceback."""

import difflib

from harness.redaction.masking import mask


class HarnessError(Exception):
    """A failure with a message meant for the user; secrets in it are masked."""

    def __init__(self, message: str = ""):
        super().__init__(mask(message))


class ConfigError(HarnessError):
    """The configuration or the command line is wrong; nothing was started."""


class PreflightError(HarnessError):
    """What this machine lacks for the plan, all of it at once."""

    def __init__(self, problems: list[str]):
        self.problems = problems = [mask(problem) for problem in problems]
        lines = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, 1))
        noun = "problem" if len(problems) == 1 else "problems"
        super().__init__(f"preflight found {len(problems)} {noun}; nothing was started:\n{lines}")


class EngineError(HarnessError):
    """An engine did not start, died or stopped answering."""


class DiskFull(HarnessError):
    """Nothing more can be written: the run stops, what is stored stays."""


class CellError(HarnessError):
    """One cell could not be measured; the rest of the sweep goes on."""


def did_you_mean(name: str, known: list[str]) -> str:
    """``; did you mean 'x'? available: ...`` for an unknown name."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f" did you mean {' or '.join(repr(match) for match in close)}?" if close else ""
    return f";{hint} available: {', '.join(sorted(known)) or 'none'}"

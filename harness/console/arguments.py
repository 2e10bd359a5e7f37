"""The argument parser of a command: its usage line, and its module's docstring as the help."""

import argparse
import inspect


def command_parser(name: str, text: str | None) -> argparse.ArgumentParser:
    """Return the parser of `harness NAME`. `text`, with its examples, is shown as it is written."""
    return argparse.ArgumentParser(
        prog=f"harness {name}",
        description=inspect.cleandoc(text or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

"""Accuracy suites. A suite is one module with one class, and one line in SUITES.

Nothing outside this package knows lm-eval, evalplus or alpaca-eval; what others may ask of a suite is in suite.py.
"""

from importlib import import_module

from harness.accuracy.suite import Context, JudgedSuite, Suite
from harness.errors import ConfigError, did_you_mean

__all__ = ["SUITES", "Context", "JudgedSuite", "Suite", "suite_class"]

SUITES = {  # kind -> module:class; imported when used, the libraries behind them are heavy
    "lm_eval": "harness.accuracy.lm_eval.suite:LmEval",
    "humaneval": "harness.accuracy.humaneval.suite:HumanEval",
    "alpaca_eval": "harness.accuracy.alpaca_eval.suite:AlpacaEval",
    "perplexity": "harness.accuracy.perplexity:Perplexity",
}


def suite_class(kind: str) -> type[Suite]:
    if kind not in SUITES:
        raise ConfigError(f"unknown suite kind {kind!r}{did_you_mean(kind, list(SUITES))}")
    module, name = SUITES[kind].split(":")
    return getattr(import_module(module), name)

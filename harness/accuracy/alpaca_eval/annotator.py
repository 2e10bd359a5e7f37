"""alpaca-eval compares pairs; the requests to the judge are ours.

alpaca-eval fills in the prompt, reads the preference from the log-probabilities of m and M and sums up the win rate
(annotators.PairwiseAnnotator, completion_parsers.logprob_parser, metrics.get_winrate of 0.6.6). Its place for a
function of one's own between prompts and completions, `fn_completions`, takes ours: bounded retries, the server's
own key, chat and text completions alike. Its random order of each pair is off: both orders are asked.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.accuracy.alpaca_eval.judge_prompts import Pair, shown, template
from harness.accuracy.completions import Reply, completion
from harness.accuracy.data_files import Row
from harness.accuracy.generation import request_many
from harness.engines import Server
from harness.errors import CellError, HarnessError
from harness.protocol.replies import a_logprob

LETTERS = ("m", "M")  # the first and the second answer

_ANNOTATOR = """\
judge:
  prompt_template: {template}
  completions_kwargs: {{}}
  fn_completion_parser: logprob_parser
  completion_parser_kwargs: {{numerator_token: m, denominator_tokens: [m, M], is_binarize: false}}
  completion_key: completions_all
  batch_size: 1
  is_randomize_output_order: false
"""


def preferences(
    server: Server,
    pairs: list[Pair],
    style: str,
    *,
    concurrency: int,
    work_dir: Path,
    context_tokens: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[float | None]:
    """For each pair how far its *first* answer is preferred, 0 to 1; None where the judge's answer has no m or M.

    Pairs with two equal answers are one half without being asked; so are equal pairs asked once.
    """
    if not pairs:
        return []
    visible = [shown(pair, style, context_tokens) for pair in pairs]
    folder = work_dir / f"judge-{style}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prompt.txt").write_text(template(style))
    (folder / "configs.yaml").write_text(_ANNOTATOR.format(template=folder / "prompt.txt"))
    try:
        annotations = _evaluate(folder, visible, partial(_ask, server, style, concurrency, progress))
    except HarnessError:
        raise
    except Exception as error:  # the boundary: alpaca-eval reads what a judge said
        raise CellError(f"alpaca-eval failed on the judge's answers: {type(error).__name__}: {error}") from error
    if len(annotations) != len(pairs):
        raise AssertionError(f"alpaca-eval gave {len(annotations)} annotations for {len(pairs)} pairs")
    return [None if _missing(a["preference"]) else 2.0 - float(a["preference"]) for a in annotations]


def _evaluate(folder: Path, visible: list[Pair], ask: Callable[..., Any]) -> list[Row]:
    with _alpaca_eval() as alpaca_eval:
        _, annotations = alpaca_eval.evaluate(
            model_outputs=[{"instruction": p.instruction, "output": p.second} for p in visible],
            reference_outputs=[{"instruction": p.instruction, "output": p.first} for p in visible],
            annotators_config=folder,
            fn_completions=ask,
            annotation_kwargs={"is_ordered": True, "chunksize": None},
            name="second",
            output_path=None,
            precomputed_leaderboard=None,
            is_return_instead_of_print=True,
            fn_metric=_no_summary,
            sort_by="win_rate",
            caching_path=None,  # the store is the cache
        )
    return annotations


def _no_summary(annotations: Any) -> dict[str, float]:
    """In place of get_winrate, which fails where no judgement can be read; its leaderboard is not used."""
    return {"win_rate": 0.0, "standard_error": 0.0}


def win_rate(values: list[float]) -> dict[str, float]:
    """alpaca-eval's summary of how far each *second* answer is preferred, 0 to 1; percent, as it gives them."""
    with _alpaca_eval():
        from alpaca_eval.metrics import get_winrate

        return {key: float(value) for key, value in get_winrate([{"preference": 1 + v} for v in values]).items()}


def _ask(
    server: Server, style: str, concurrency: int, progress: Callable[[int, int], None], prompts: list[str]
) -> dict[str, list[Any]]:
    """alpaca-eval's fn_completions."""
    if style == "chat":
        from alpaca_eval.utils import prompt_to_chatml

        path, wanted = "/v1/chat/completions", {"logprobs": True, "top_logprobs": 5}
        bodies = [{"messages": prompt_to_chatml(prompt)} for prompt in prompts]
    else:
        path, wanted = "/v1/completions", {"logprobs": 5}
        bodies = [{"prompt": prompt} for prompt in prompts]
    bodies = [{**body, **wanted, "max_tokens": 1, "temperature": 0.0} for body in bodies]
    answers = request_many(server, path, bodies, concurrency=concurrency, progress=progress)
    said = [completion(answer) for answer in answers]
    return {
        "completions": [answer.text for answer in said],
        "completions_all": [_letters(answer.choice, answer.text) for answer in said],
    }


def _letters(choice: Reply, text: str) -> Reply:
    """The first token's candidates in the chat shape, without the space that tokenizers put before a word.

    A server that gives no log-probabilities is read by its text: all or nothing. `choice` is checked (completions.py).
    """
    logprobs = choice.get("logprobs") or {}
    if content := logprobs.get("content"):
        candidates = [(one.get("token"), one.get("logprob")) for one in content[0].get("top_logprobs") or ()]
    elif tops := logprobs.get("top_logprobs"):
        candidates = list((tops[0] or {}).items())
    else:
        candidates = [(text.strip()[:1], 0.0)]
    best: dict[str, float] = {}
    for token, logprob in candidates:  # "m" and " m": the likelier is used for both
        if token is not None and logprob is not None:
            letter = token.strip()
            best[letter] = max(a_logprob(logprob, "a logprob"), best.get(letter, float("-inf")))
    top = [{"token": letter, "logprob": value} for letter, value in best.items()]
    return {"text": text, "logprobs": {"content": [{"top_logprobs": top}]}}


def _missing(value: Any) -> bool:
    return value is None or value != value


@contextlib.contextmanager
def _alpaca_eval() -> Iterator[Any]:
    """The package without its side effects: it reads a .env file, turns the root logger up and draws bars."""
    environment, root = dict(os.environ), logging.getLogger()
    level = root.level
    try:
        import alpaca_eval

        for name in set(os.environ) - set(environment):
            del os.environ[name]
        import tqdm

        bars, alpaca_eval.utils.tqdm = alpaca_eval.utils.tqdm, SimpleNamespace(tqdm=partial(tqdm.tqdm, disable=True))
        root.setLevel(logging.CRITICAL)
        try:
            yield alpaca_eval
        finally:
            alpaca_eval.utils.tqdm = bars
    finally:
        root.setLevel(level)

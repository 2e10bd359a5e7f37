"""lm-eval without its noise: progress bars, warnings about overridden defaults, retries against the hub.

What a user must know about a run is in its flags; bars would tear the harness's own progress display apart.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

LOGGERS = ("lm_eval", "datasets", "transformers", "huggingface_hub", "huggingface_hub.utils._http", "httpx")
ADVICE = "TRANSFORMERS_NO_ADVISORY_WARNINGS"  # else: "PyTorch was not found", which the harness does not need


@contextmanager
def quiet() -> Iterator[None]:
    """Errors still show, and every setting is put back."""
    had_advice = os.environ.get(ADVICE)
    os.environ[ADVICE] = "1"
    import datasets
    import lm_eval.api.task as lm_eval_task
    import lm_eval.evaluator as lm_eval_evaluator
    import transformers  # noqa: F401  its import sets its logger's level; ours must come after

    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    bars, tqdm = datasets.is_progress_bar_enabled(), lm_eval_task.tqdm
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL if name.startswith("huggingface_hub") else logging.ERROR)
    datasets.disable_progress_bars()
    lm_eval_task.tqdm = partial(tqdm, disable=True)
    git, lm_eval_evaluator.get_git_commit_hash = lm_eval_evaluator.get_git_commit_hash, lambda: None  # git complains
    try:
        yield
    finally:
        lm_eval_task.tqdm, lm_eval_evaluator.get_git_commit_hash = tqdm, git
        if bars:
            datasets.enable_progress_bars()
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if had_advice is None:
            del os.environ[ADVICE]
        else:
            os.environ[ADVICE] = had_advice

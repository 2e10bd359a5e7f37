"""The requests of a scenario with `send: verbatim`: the rows of its file in an order drawn from a seed.

The order is the same for every variant, and another for each load point. Where a point has more requests than the file
has rows, rows are sent again.
"""

import random
from collections.abc import Iterator
from typing import Any

from harness.config.workloads import CHAT, COMPLETIONS, VERBATIM, Scenario
from harness.errors import CellError
from harness.loadgen.client.requests import make_chat_request, make_request
from harness.loadgen.client.trace import Asked, Request
from harness.records.flag import Flag
from harness.text.tokenizer import encode
from harness.text.verbatim import Prompt, load_verbatim, mean_tokens


def api_of(scenario: Scenario) -> str:
    """Return chat or completions: what the scenario says, else what its prompts are."""
    if scenario.api is not None:
        return scenario.api
    if scenario.send != VERBATIM:
        return COMPLETIONS
    return CHAT if any(prompt.messages for prompt in load_verbatim(scenario.text)) else COMPLETIONS


def sent_as_text(scenario: Scenario) -> bool:
    """Whether the server tokenizes the prompts, which then are text or messages."""
    return scenario.send == VERBATIM or scenario.api == CHAT or scenario.send_as == "text"


def mean_lengths(scenario: Scenario) -> tuple[int, int]:
    """(prompt, answer) tokens of a request; of verbatim prompts an estimate."""
    if scenario.send == VERBATIM:
        return mean_tokens(scenario.text, scenario.output_tokens)
    return scenario.prompt_tokens, scenario.output_tokens


def verbatim_requests(
    model: str, tokenizer: Any, scenario: Scenario, times: list[float], seed: int, most_tokens: int | None = None
) -> Iterator[Request]:
    """A request at each of `times`. Raises CellError for messages that cannot be sent as text."""
    chat = api_of(scenario) == CHAT
    for index, (at_s, prompt) in enumerate(zip(times, _drawn(scenario.text, len(times), seed), strict=True)):
        bound = scenario.output_tokens or prompt.most_tokens or len(encode(tokenizer, prompt.answer))
        asked = Asked(_count(tokenizer, prompt), min(bound, most_tokens or bound), counted=False, bounded=True)
        if chat:
            messages = prompt.messages or ({"role": "user", "content": prompt.text},)
            yield make_chat_request(index, at_s, model, list(messages), asked, exact_length=())
        else:
            yield make_request(index, at_s, model, prompt.text or _rendered(tokenizer, prompt), asked, exact_length=())


def repeated(scenario: Scenario, requests: int) -> list[Flag]:
    """Rows that are sent again may be found in the server's prefix cache."""
    rows = len(load_verbatim(scenario.text))
    if requests <= rows:
        return []
    message = f"{requests} requests of {rows} prompts: those sent again may be in the server's prefix cache"
    return [Flag("prompts_repeat", "caution", message)]


def _drawn(name: str, count: int, seed: int) -> Iterator[Prompt]:
    """All rows in a drawn order, then all in another."""
    prompts, draw = load_verbatim(name), random.Random(seed)
    for start in range(0, count, len(prompts)):
        yield from draw.sample(prompts, min(len(prompts), count - start))


def _count(tokenizer: Any, prompt: Prompt) -> int:
    """Tokens by the sweep's tokenizer, which may be another than the server's."""
    try:
        text = _rendered(tokenizer, prompt) if prompt.messages else prompt.text
    except CellError:
        text = prompt.words
    return len(encode(tokenizer, text))


def _rendered(tokenizer: Any, prompt: Prompt) -> str:
    """The messages as the tokenizer's chat template writes them. Raises CellError."""
    try:
        return tokenizer.apply_chat_template(list(prompt.messages), tokenize=False, add_generation_prompt=True)
    except Exception as error:  # no template, images, or an order of roles that it refuses
        raise CellError(
            f"line {prompt.line}: the tokenizer's chat template does not write these messages ({error}); set api: chat"
        ) from None

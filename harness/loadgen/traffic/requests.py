"""What is sent and when: every request of a load point, from its name and a seed.

The same for every variant but for the name of the served model. Requests are made as they are asked for, so that a
long cell's never lie in memory together.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.config.workloads import CHAT, VERBATIM, LoadPoints, Scenario, Spread
from harness.loadgen.client.requests import EXACT_LENGTH, MARK, make_request
from harness.loadgen.client.trace import Asked, Request
from harness.loadgen.profiles import PROFILES, derive_seed, traffic_seed
from harness.loadgen.traffic.chat import chat_request, make_chat_texts
from harness.loadgen.traffic.lengths import draw_lengths
from harness.loadgen.traffic.prompts import make_block_prompts, make_prompts, writer
from harness.loadgen.traffic.replay import replayed, shared_tokens
from harness.loadgen.traffic.retokenize import make_texts
from harness.loadgen.traffic.verbatim import verbatim_requests
from harness.records.point import LoadPoint
from harness.text.corpora import load_corpus
from harness.text.verbatim import mean_tokens

WARM_UP_OUTPUT_TOKENS = 16


@dataclass(frozen=True)
class Traffic:
    """What the requests of a scenario follow from, but for the load point and who serves them."""

    scenario_name: str
    scenario: Scenario
    load: LoadPoints
    seed: int

    def seed_of(self, point: LoadPoint, purpose: str) -> int:
        return traffic_seed(point, self.seed, self.scenario_name, purpose)

    def shared_seed(self, purpose: str) -> int:
        """Return the seed of what is the same for every load point."""
        return derive_seed(self.seed, self.scenario_name, purpose)


@dataclass(frozen=True)
class Conversation:
    """Lengths in tokens. A single request is a conversation of one turn."""

    prompt: int
    messages: tuple[int, ...]  # of each later turn
    outputs: tuple[int, ...]  # of every turn

    def turns(self) -> Iterator[Asked]:
        prompt = self.prompt
        for turn, output in enumerate(self.outputs):
            yield Asked(prompt, output, turn)
            if turn < len(self.messages):
                prompt += output + self.messages[turn]


def plan_requests(
    traffic: Traffic, point: LoadPoint, model: str, tokenizer: Any, exact_length: Sequence[str] = EXACT_LENGTH
) -> Iterator[Request]:
    """Every request of a load point with its intended time; a conversation's turns follow each other.

    Raises CellError where the tokenizer cannot make the prompts.
    """
    scenario = traffic.scenario
    times = PROFILES[point.profile].send_times(point, traffic.load, traffic.seed_of(point, "arrivals"))
    if scenario.send == VERBATIM:
        yield from verbatim_requests(model, tokenizer, scenario, times, traffic.seed_of(point, "prompts"))
        return
    conversations = plan_conversations(traffic, point)
    prompts = _first_prompts(traffic, point, tokenizer, conversations)
    write = writer(tokenizer, load_corpus(scenario.text))
    later_seed, index = traffic.seed_of(point, "messages"), 0
    draw, chat = random.Random(later_seed), scenario.api == CHAT
    messages = _make(tokenizer, scenario, (n for one in conversations for n in one.messages), seed=later_seed)
    for start_s, conversation, prompt in zip(times, conversations, prompts, strict=True):
        for asked in conversation.turns():
            later = asked.turn > 0
            intended_s = scenario.think_s if later else start_s
            said = next(messages) if later and chat else prompt
            if isinstance(said, str) and chat:
                yield chat_request(index, intended_s, model, said, asked, exact_length)
            else:
                ids = [MARK, *write.message(conversation.messages[asked.turn - 1], draw)] if later else prompt
                continued = asked.turn < scenario.turns - 1
                yield make_request(index, intended_s, model, ids, asked, continued=continued, exact_length=exact_length)
            index += 1


def plan_conversations(traffic: Traffic, point: LoadPoint) -> list[Conversation]:
    """The lengths of everything that is asked, without a tokenizer."""
    scenario = traffic.scenario
    if point.profile == "trace":
        return [Conversation(a.prompt_tokens, (), (a.output_tokens,)) for a in replayed(point, traffic.load)]

    def draw(mean: int, spread: Spread, count: int, what: str) -> Iterator[int]:
        return iter(draw_lengths(mean, spread, count, traffic.seed_of(point, what), what))

    later = point.requests * (scenario.turns - 1)
    prompts = draw(scenario.prompt_tokens, scenario.prompt_spread, point.requests, "prompt_spread")
    outputs = draw(scenario.output_tokens, scenario.output_spread, point.requests * scenario.turns, "output_spread")
    if scenario.turn_tokens is None:
        messages = draw(scenario.prompt_tokens, scenario.prompt_spread, later, "turn_spread")
    else:
        messages = iter([scenario.turn_tokens] * later)
    return [
        Conversation(
            prompt,
            tuple(next(messages) for _ in range(scenario.turns - 1)),
            tuple(next(outputs) for _ in range(scenario.turns)),
        )
        for prompt in prompts
    ]


def longest_request(traffic: Traffic, point: LoadPoint) -> int:
    """Prompt and output tokens of the longest request: what the engine's context must hold. Verbatim prompts are only
    estimated."""
    scenario = traffic.scenario
    if scenario.send == VERBATIM:
        return sum(mean_tokens(scenario.text, scenario.output_tokens))
    conversations = plan_conversations(traffic, point)
    return max(asked.prompt_tokens + asked.output_tokens for one in conversations for asked in one.turns())


def warm_up_requests(
    traffic: Traffic, model: str, tokenizer: Any, exact_length: Sequence[str] = EXACT_LENGTH
) -> list[Request]:
    """load.warmup_requests of the scenario's prompts, of its mean length, with short answers, all due at once."""
    scenario, count, drawn = traffic.scenario, traffic.load.warmup_requests, traffic.shared_seed("warm-up")
    if scenario.send == VERBATIM:
        return list(verbatim_requests(model, tokenizer, scenario, [0.0] * count, drawn, WARM_UP_OUTPUT_TOKENS))
    prompts = _make(tokenizer, scenario, [scenario.prompt_tokens] * count, seed=drawn)
    asked = Asked(scenario.prompt_tokens, min(scenario.output_tokens, WARM_UP_OUTPUT_TOKENS))
    return [
        chat_request(index, 0.0, model, prompt, asked, exact_length)
        if isinstance(prompt, str) and scenario.api == CHAT
        else make_request(index, 0.0, model, prompt, asked, exact_length=exact_length)
        for index, prompt in enumerate(prompts)
    ]


def expected_prefix_share(scenario: Scenario, point: LoadPoint, load: LoadPoints) -> float:
    """Share of prompt tokens that a perfect prefix cache would find by design; lengths at their means.

    Of n conversations with t turns, prompts of P_0 .. P_(t-1) tokens and outputs of O each: every first prompt but one
    finds the shared prefix s, and every later turn all that was said before it,

        ((n - 1) s + n sum_(k>=1) (P_(k-1) + O)) / (n sum_k P_k)

    Of a trace: the blocks that an earlier request began with too. Verbatim prompts share what they share: 1.
    """
    if scenario.send == VERBATIM:
        return 1.0
    if point.profile == "trace":
        shared, total = shared_tokens(replayed(point, load))
        return shared / total
    message = scenario.prompt_tokens if scenario.turn_tokens is None else scenario.turn_tokens
    later = scenario.turns - 1
    mean = Conversation(scenario.prompt_tokens, (message,) * later, (scenario.output_tokens,) * scenario.turns)
    prompts = [asked.prompt_tokens for asked in mean.turns()]
    said = sum(prompts[1:]) - later * message
    shared = (point.requests - 1) * scenario.shared_prefix_tokens + point.requests * said
    return shared / (point.requests * sum(prompts))


def _first_prompts(
    traffic: Traffic, point: LoadPoint, tokenizer: Any, conversations: list[Conversation]
) -> Iterator[list[int] | str]:
    scenario, prompt_seed = traffic.scenario, traffic.seed_of(point, "prompts")
    if point.profile == "trace":
        arrivals = replayed(point, traffic.load)
        if arrivals[0].hash_ids is not None:
            return make_block_prompts(tokenizer, load_corpus(scenario.text), arrivals, seed=prompt_seed)
    return _make(
        tokenizer,
        scenario,
        [conversation.prompt for conversation in conversations],
        seed=prompt_seed,
        shared_tokens=scenario.shared_prefix_tokens,
        shared_seed=traffic.shared_seed("shared prefix"),
    )


def _make(tokenizer: Any, scenario: Scenario, lengths: Iterable[int], **seeds: int) -> Iterator[list[int] | str]:
    if scenario.api == CHAT:
        return make_chat_texts(tokenizer, load_corpus(scenario.text), lengths, **seeds)
    make = make_texts if scenario.send_as == "text" else make_prompts
    return make(tokenizer, load_corpus(scenario.text), lengths, **seeds)

"""A served model as lm-eval sees one: `/v1/completions` on token ids that are exactly ours.

Imported in the run path only: it imports lm-eval.

Multiple choice costs one request a question. Where every choice is one token, the log-probabilities of all choices
are at a single position (`logprob_token_ids`). A server that does not know that parameter, and choices of several
tokens, get lm-eval's own way: context and choice are sent together and their log-probabilities are read back
(`echo`), one request a choice. A server that lists its likeliest next tokens instead (llama.cpp) is asked once more,
for the whole vocabulary, where a choice is not among them. Requests go out in order of their prompts, so that the
few-shot prefix that questions share stays in the server's cache.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from lm_eval.api.model import TemplateLM

from harness.accuracy.completions import Body, Completion, Reply, problem_of, tolerated
from harness.accuracy.context_length import served_context_length
from harness.accuracy.generation import Bodies, request_many
from harness.accuracy.lm_eval.generations import generation, stop_strings
from harness.accuracy.lm_eval.logprobs import (
    LIKELIEST,
    UNREAD,
    Score,
    echo_body,
    echoed_score,
    next_token_body,
    next_token_scores,
)
from harness.accuracy.text_prompts import sendable
from harness.engines import Server
from harness.errors import CellError
from harness.text.tokenizer import bos_ids, load_tokenizer

BLOCK = 1024  # questions tokenized and sent together: MMLU whole would be 500 MB of token ids
TOKENIZED = 64  # prompts of generated answers tokenized at a time, in some 20 ms
MAX_TOKEN_IDS = 128  # vLLM's bound on logprob_token_ids


@dataclass(frozen=True)
class Question:
    """A context and what may follow it, as token ids."""

    context: list[int]
    choices: list[list[int]]

    @property
    def one_token_each(self) -> bool:
        return all(len(c) == 1 for c in self.choices) and len({c[0] for c in self.choices}) <= MAX_TOKEN_IDS


@dataclass(frozen=True)
class _Made:
    """Bodies made while others are answered: a server must not run dry between two blocks of prompts."""

    count: int
    make: Callable[[], Iterator[Body]]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Body]:
        return self.make()


class ServedModel(TemplateLM):
    """Greedy. `generations` keeps what lm-eval drops: why and after how many tokens an answer ended."""

    tokenizer_name = ""  # lm-eval's class has a property here that raises

    def __init__(
        self,
        server: Server,
        tokenizer: str,
        *,
        max_tokens: int,
        concurrency: int,
        add_bos: bool | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ):
        super().__init__()
        self.server, self.max_tokens, self.concurrency, self.progress = server, max_tokens, concurrency, progress
        self.tokenizer = load_tokenizer(tokenizer)
        self.tokenizer_name = tokenizer
        bos = [] if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id]
        self.bos: list[int] = bos_ids(self.tokenizer) if add_bos is None else bos if add_bos else []
        self.context_length = served_context_length(server)
        self.one_request: bool | None = None  # does the server answer logprob_token_ids? None: not asked yet
        self.generations: dict[tuple[str, tuple[str, ...]], Completion] = {}
        self.unread = 0  # questions whose answers no try could read
        self.prompts_cut = 0  # prompts that lost their beginning because the server's context is too short

    @property
    def eot_token_id(self) -> int:
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        bos = self.tokenizer.bos_token_id
        return self.tokenizer.eos_token_id if bos is None else bos

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        ids = self.tokenizer(string, add_special_tokens=False).input_ids
        return ids if add_special_tokens is False or ids[:1] == self.bos else self.bos + ids

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        """`tok_encode` of each; tokenizers in Rust encode a batch on all cores."""
        encoded = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False).input_ids
        return [ids if ids[:1] == self.bos else self.bos + ids for ids in encoded]

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        if self.tokenizer.chat_template is None:
            raise CellError(f"the tokenizer {self.tokenizer_name} has no chat template; set chat_template to false")
        try:
            return self.tokenizer.apply_chat_template(
                chat_history,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        except Exception as error:  # templates raise jinja2's errors: no system role, roles that must alternate ...
            raise CellError(f"the chat template of {self.tokenizer_name} refuses a prompt: {error}") from error

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[Score]:
        by_context: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            by_context.setdefault(request.args[0], []).append(index)
        contexts = sorted(by_context)
        scores: list[Any] = [None] * len(requests)
        for start in range(0, len(contexts), BLOCK):
            block = contexts[start : start + BLOCK]
            continuations = [[requests[index].args[1] for index in by_context[context]] for context in block]
            answers = self._answer(self.questions(block, continuations), start, len(contexts))
            for context, answer in zip(block, answers, strict=True):
                for index, score in zip(by_context[context], answer, strict=True):
                    scores[index] = score
        return scores

    def questions(self, contexts: list[str], continuations: list[list[str]]) -> list[Question]:
        """Token boundaries as in TemplateLM: spaces at the end of a context belong to what follows it."""
        texts = []
        for context, follows in zip(contexts, continuations, strict=True):
            texts += [context.rstrip(), *(context + follow for follow in follows)]
        encoded = iter(self.encode_many(texts))
        questions = []
        for follows in continuations:
            head, wholes = next(encoded), [next(encoded) for _ in follows]
            if not head:  # nothing to condition on: BOS or EOS is used
                head = [self.prefix_token_id]
                wholes = [whole if whole[:1] == head else head + whole for whole in wholes]
            questions.append(Question(head, [whole[len(head) :] for whole in wholes]))
        return questions

    def _answer(self, questions: list[Question], before: int, total: int) -> list[list[Score]]:
        def report(part: int) -> Callable[[int, int], None]:
            return lambda done, of: self.progress(before + done * part // of, total)

        self.prompts_cut += sum(self._too_long(q.context, max(map(len, q.choices)) + 1) for q in questions)
        answers: dict[int, list[Score]] = {}
        short = [n for n, question in enumerate(questions) if question.one_token_each]
        if short and self.one_request is None:
            self.one_request = self._knows_token_ids(questions[short[0]])
        if self.one_request:
            for count in self._likeliest():
                missing = [n for n in short if n not in answers]
                bodies = [self._next_token_body(questions[n], count) for n in missing]
                replies = self._post(bodies, report(len(questions)), tolerated(total))
                for n, reply in zip(missing, replies, strict=True):
                    wanted = [choice[0] for choice in questions[n].choices]
                    if problem := problem_of(reply):
                        answers[n] = self._not_read(questions[n], problem, total)
                    elif (scores := next_token_scores(reply, wanted)) is not None:
                        answers[n] = scores
        rest = [n for n in range(len(questions)) if n not in answers]
        pairs = [(self._fit(questions[n].context, len(c) + 1), c) for n in rest for c in questions[n].choices]
        most_unreadable = tolerated(total) * max((len(questions[n].choices) for n in rest), default=1)
        bodies = [echo_body(context, c) for context, c in pairs]
        echoed = iter(zip(pairs, self._post(bodies, report(len(questions)), most_unreadable), strict=True))
        for n in rest:
            own = [next(echoed) for _ in questions[n].choices]
            try:
                answers[n] = [echoed_score(reply, len(context), len(c)) for (context, c), reply in own]
            except CellError as error:
                answers[n] = self._not_read(questions[n], str(error), total)
        return [answers[n] for n in range(len(questions))]

    def _not_read(self, question: Question, problem: str, total: int) -> list[Score]:
        """Count a question as an error. Raise CellError when there are too many of them."""
        self.unread += 1
        if self.unread > min(tolerated(total), total - 1):
            raise CellError(problem)
        return [UNREAD] * len(question.choices)

    def _likeliest(self) -> list[int]:
        """How many next tokens to ask for, one try after the other; given ones are asked for once."""
        return [LIKELIEST, len(self.tokenizer)] if self.server.dialect.likeliest else [LIKELIEST]

    def _next_token_body(self, question: Question, likeliest: int) -> Body:
        wanted = [choice[0] for choice in question.choices]
        return next_token_body(self._fit(question.context, 2), wanted, self.server.dialect, likeliest)

    def _knows_token_ids(self, question: Question) -> bool:
        try:
            reply = self._post([self._next_token_body(question, self._likeliest()[-1])])[0]
        except CellError:  # refused; if the server is gone, the echo requests will tell
            return False
        return next_token_scores(reply, [choice[0] for choice in question.choices]) is not None

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        keys = [(request.args[0], stop_strings(request.args[1], self.tokenizer.eos_token)) for request in requests]
        wanted = sorted(set(keys))
        replies = self._post(_Made(len(wanted), partial(self._bodies, wanted)), self.progress)
        for key, reply in zip(wanted, replies, strict=True):
            self.generations[key] = generation(reply, key[1])
        return [self.generations[key].text for key in keys]

    def _bodies(self, wanted: list[tuple[str, tuple[str, ...]]]) -> Iterator[Body]:
        for start in range(0, len(wanted), TOKENIZED):
            block = wanted[start : start + TOKENIZED]
            encoded = self.encode_many([context for context, _ in block])
            self.prompts_cut += sum(self._too_long(ids, self.max_tokens + 1) for ids in encoded)
            prompts = [self._fit(ids, self.max_tokens + 1) for ids in encoded]
            for prompt, (_, stops) in zip(sendable(self.server, self.tokenizer, prompts), block, strict=True):
                body = {"prompt": prompt, "max_tokens": self.max_tokens, "temperature": 0}
                yield body | ({"stop": list(stops)} if stops else {})

    def generation_of(self, context: str, gen_kwargs: dict[str, Any]) -> Completion:
        return self.generations[context, stop_strings(gen_kwargs, self.tokenizer.eos_token)]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        raise CellError("perplexity tasks have no score for each item, so variants cannot be paired on them")

    def _loglikelihood_tokens(self, requests: Any, **_: Any) -> list[Score]:
        raise NotImplementedError("loglikelihood() asks whole questions at once")

    def _fit(self, ids: list[int], room: int) -> list[int]:
        """The end of a prompt that leaves `room` tokens of the server's context, as lm-eval cuts it."""
        limit = self.context_length
        if limit is None or not self._too_long(ids, room):
            return ids
        if room >= limit:
            raise CellError(f"the server's context of {limit} tokens has no room for {room} and a prompt")
        return ids[-(limit - room) :]

    def _too_long(self, ids: list[int], room: int) -> bool:
        return self.context_length is not None and len(ids) + room > self.context_length

    def _post(
        self,
        bodies: Bodies,
        progress: Callable[[int, int], None] = lambda done, of: None,
        most_unreadable: int | None = None,
    ) -> list[Reply]:
        if not bodies:
            return []
        return request_many(
            self.server,
            "/v1/completions",
            bodies,
            concurrency=self.concurrency,
            progress=progress,
            most_unreadable=most_unreadable,
        )

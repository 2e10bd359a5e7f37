"""A suite as a module of its own: beside it, a line in SUITES and conf/suite/spelling.yaml are all that it takes."""

from dataclasses import asdict, dataclass

from harness.accuracy import Context, Suite
from harness.accuracy.completions import completion
from harness.accuracy.generation import request_many
from harness.accuracy.items import answer_of, count_answers, digest, mean_scores, outcome, subset
from harness.accuracy.suite import Facts
from harness.records import Outcome
from harness.records.accuracy_result import AccuracyResult, DataRef
from harness.records.item import Item
from harness.text.tokenizer import encode, load_tokenizer

WORDS = ["accuracy", "latency", "sparsity", "throughput", "quantization", "recovery"]


@dataclass
class SpellingConfig:
    kind: str = "spelling"
    items: int | None = None
    max_tokens: int = 8


class Spelling(Suite):
    Config = SpellingConfig
    config: SpellingConfig

    def fingerprint(self, data_root: str | None) -> Facts:
        return {**asdict(self.config), "words": digest(WORDS)}

    def planned_items(self) -> int:
        return self.config.items or len(WORDS)

    def answer_tokens(self) -> int:
        return self.config.max_tokens

    def run(self, context: Context) -> Outcome:
        words, tokenizer = subset(WORDS, self.config.items, context.seed), load_tokenizer(context.tokenizer)
        prompts = [encode(tokenizer, f"Spell {word}:") for word in words]
        bodies = [{"prompt": ids, "max_tokens": self.config.max_tokens, "temperature": 0.0} for ids in prompts]
        how = {"concurrency": context.concurrency, "progress": context.progress}
        replies = request_many(context.server, "/v1/completions", bodies, **how)
        answers = [answer_of(completion(reply), "") for reply in replies]
        items = [
            Item(
                id=f"{self.name}/{word}",
                doc_hash=digest(word),
                prompt_hash=digest(ids),
                scores={"acc": float(answer.response.strip() != word)},  # the simulated engine says random words
                **vars(answer),
            )
            for word, ids, answer in zip(words, prompts, answers, strict=True)
        ]
        data, counts = DataRef("text", "words", digest(WORDS), len(WORDS)), count_answers(len(items), items)
        return outcome(AccuracyResult(primary="acc", scores=mean_scores(items), counts=counts, data=data), items, [])

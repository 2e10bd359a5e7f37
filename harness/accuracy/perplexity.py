"""A fixed text, scored token by token: its perplexity, and what analysis/quality/texts.py makes of the distributions.

The text is tokenized as a whole, without special tokens, and cut into windows of `window` tokens that do not overlap;
a last part that does not fill one is left out. That is how quantization papers give the perplexity of WikiText-2
(Frantar et al. 2022, GPTQ: windows of 2048, rows joined by blank lines). Where the tokenizer puts a BOS in front of a
text, every window starts with one and has a token less of the text (llama.cpp's way); without one, the first token of
a window is not scored.

A window is one completion request of token ids with `echo` and `logprobs`, which vLLM serves without its prefix cache.
The server computes log-probabilities over the vocabulary for the whole window: window x vocabulary x 4 bytes, twice
(2 GB for 2048 tokens of a vocabulary of 128k).

Rows are windows; they carry no score, so that no average of recoveries takes them for one.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.accuracy import Context, Suite
from harness.accuracy.context_length import served_context_length
from harness.accuracy.data_files import read_text
from harness.accuracy.datasets import Source, source, unreachable_hub
from harness.accuracy.generation import request_many
from harness.accuracy.items import digest, outcome, subset
from harness.accuracy.reasoning import unreadable_flags
from harness.accuracy.suite import ECHO, Facts
from harness.accuracy.text_windows import AskedWindow, cut_windows, scored_windows
from harness.engines.dialect import PROMPT_LOGPROBS_BY_ID
from harness.errors import CellError, ConfigError
from harness.records import Outcome
from harness.records.accuracy_result import AccuracyResult, Counts, DataRef
from harness.records.item import TextWindow
from harness.text import hub_text as hub
from harness.text.corpora import CORPORA, corpus_digest, load_corpus
from harness.text.tokenizer import bos_ids, encode, load_tokenizer

WIKITEXT = "hub:Salesforce/wikitext/wikitext-2-raw-v1:test"
WIKITEXT_TOKENS = 290_000  # of its test part, more or less
MIRRORED = ("*.txt", "*.raw")
MOST_TOP_K = 20  # vLLM's --max-logprobs unless it is started otherwise
REVISION = 1  # of this module's own protocol: raise it when windows, requests or rows change
MOST_NATS = 700.0  # a token; exp() has no number for more


@dataclass
class PerplexityConfig:
    kind: str = "perplexity"
    text: str | None = None  # prose | code | chat | hub:DATASET[/CONFIG][:SPLIT[:FIELD]] | FILE; null: WikiText-2
    window: int = 2048  # tokens; the server's context must hold one more
    items: int | None = None  # windows, a random subset drawn with the sweep's seed; null: all
    top_k: int = 20  # log-probabilities kept at each position beside the token's own
    add_bos: bool | None = None  # null: as the tokenizer does by itself


class Perplexity(Suite):
    Config = PerplexityConfig
    per_item = False
    config: PerplexityConfig

    def __init__(self, name: str, config: PerplexityConfig):
        super().__init__(name, config)
        for key, low, high in (("window", 2, None), ("items", 1, None), ("top_k", 1, MOST_TOP_K)):
            value = getattr(config, key)
            if value is not None and (value < low or (high and value > high)):
                most = f", the highest {high}" if high else ""
                raise ConfigError(f"suites.{name}.{key} is {value}; the lowest value is {low}{most}")

    def fingerprint(self, data_root: str | None) -> Facts:
        settings = {key: value for key, value in asdict(self.config).items() if key != "text"}
        return {**settings, "text": self._text(data_root).digest(), "revision": REVISION}

    def problems(self, data_root: str | None) -> list[str]:
        try:
            return [f"suite {self.name}: {problem}" for problem in self._text(data_root).problems()]
        except (CellError, ConfigError) as error:
            return [f"suite {self.name}: {error}"]

    def asks(self) -> frozenset[str]:
        return frozenset({PROMPT_LOGPROBS_BY_ID})

    def planned_items(self) -> int | None:
        """Return the number of windows; None for a text that is named, which is read when it is needed."""
        return self.config.items or (None if self.config.text else max(1, WIKITEXT_TOKENS // self.config.window))

    def typical_tokens(self) -> tuple[float, float]:
        return ECHO * self.config.window, 1.0

    def longest_request(self) -> int:
        """Tokens of the server's context that a window takes, the one generated token included."""
        return self.config.window + 1

    def run(self, context: Context) -> Outcome:
        config, text = self.config, self._text(context.data_root)
        limit = served_context_length(context.server)
        if limit is not None and self.longest_request() > limit:
            raise CellError(
                f"suite {self.name}: a window of {config.window} tokens and one more do not fit the server's context "
                f"of {limit}; set suites.{self.name}.window={limit - 1} or less"
            )
        tokenizer = load_tokenizer(context.tokenizer)
        bos = self._bos(tokenizer)
        windows = cut_windows(encode(tokenizer, text.read()), config.window, bos)
        if not windows:
            raise CellError(f"suite {self.name}: {text.name} has fewer than two tokens")
        chosen = [
            AskedWindow(f"{self.name}/{number}", digest(ids[len(bos) :]), ids)
            for number, ids in subset(list(enumerate(windows)), config.items, context.seed)
        ]
        asked = {"max_tokens": 1, "temperature": 0.0, "echo": True, "logprobs": config.top_k}
        answers = request_many(
            context.server,
            "/v1/completions",
            [{"prompt": window.ids, **asked, "return_tokens_as_token_ids": True} for window in chosen],
            concurrency=context.concurrency,
            progress=context.progress,
        )
        return self._outcome(scored_windows(answers, chosen, config.top_k), text.reference(len(windows)), bool(bos))

    def _outcome(self, windows: Sequence[TextWindow], data: DataRef, bos: bool) -> Outcome:
        tokens = sum(window.tokens for window in windows)
        errors = sum(not window.tokens for window in windows)
        result = AccuracyResult(
            primary="perplexity",
            scores={},
            counts=Counts(items=len(windows), errors=errors),
            data=data,
            details={
                "perplexity": math.exp(min(-sum(window.logprob_sum for window in windows) / tokens, MOST_NATS)),
                "tokens": tokens,
                "window": self.config.window,
                "top_k": self.config.top_k,
                "bos": bos,
            },
        )
        return outcome(result, windows, unreadable_flags(errors, len(windows), "are left out"))

    def _bos(self, tokenizer: Any) -> list[int]:
        if self.config.add_bos is None:
            return bos_ids(tokenizer)
        if self.config.add_bos and tokenizer.bos_token_id is None:
            raise CellError(f"suite {self.name}: the tokenizer has no BOS; leave suites.{self.name}.add_bos out")
        return [tokenizer.bos_token_id] if self.config.add_bos else []

    def _text(self, data_root: str | None) -> "Text":
        if self.config.text is not None:
            kind = "hub" if self.config.text.startswith(hub.PREFIX) else "text"
            return Text(kind, self.config.text, self.config.text)
        if data_root is None:
            return Text("hub", WIKITEXT.removeprefix(hub.PREFIX), WIKITEXT)
        if data_root == "pocket":
            return Text("pocket", "pocket prose", "prose")
        return Text("mirror", "", "", source(data_root, "wikitext", WIKITEXT))


@dataclass(frozen=True)
class Text:
    """Where the text comes from: `corpus`, a name of text/corpora.py, or the one file in `folder`."""

    kind: str
    label: str
    corpus: str  # empty where a folder has the text
    folder: Source | None = None

    @property
    def name(self) -> str:
        return self.folder.name if self.folder else self.label

    def reference(self, windows: int) -> DataRef:
        return DataRef(self.kind, self.name, self.digest(), windows)

    def digest(self) -> str:
        return self.folder.digest() if self.folder else corpus_digest(self.corpus)

    def problems(self) -> list[str]:
        if self.folder:
            if files := self._files():
                return [] if read_text(files[0]).strip() else [f"data: {files[0]}: no text"]
            where = self.folder.directory
            return [f"data: {where} has no *.txt; put WikiText-2's test part there, or set text= to prose or a file"]
        self.digest()  # raises ConfigError for a name that is neither a corpus nor a file
        asked = hub.parse(self.corpus) if self.corpus.startswith(hub.PREFIX) else None
        if asked and (reason := unreachable_hub(asked.dataset, asked.revision)):
            return [f"{reason}, or set data.root to a mirror or to pocket, or text= to a file"]
        return []

    def read(self) -> str:
        """As it is: rows of a dataset are joined by blank lines, messages of dialogues too."""
        if self.folder:
            return read_text(self._files()[0])
        if self.corpus.startswith(hub.PREFIX):
            rows = hub.read_values(self.corpus)
            if all(isinstance(row, str) for row in rows):
                return "\n\n".join(rows)
        elif self.corpus not in CORPORA and Path(self.corpus).suffix not in (".json", ".jsonl"):
            return read_text(Path(self.corpus).expanduser())
        corpus = load_corpus(self.corpus)
        return "".join(corpus.texts) or "\n\n".join(corpus.writings)

    def _files(self) -> list[Path]:
        directory = self.folder.directory if self.folder else None
        return sorted(path for pattern in MIRRORED for path in directory.glob(pattern)) if directory else []

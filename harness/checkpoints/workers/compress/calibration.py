"""Calibration data: instruction dialogues through the model's own chat template."""

import json
import random
import runpy
from pathlib import Path

HARNESS = Path(__file__).resolve().parents[3]
SHARED = runpy.run_path(str(HARNESS / "dialogues.py"))  # harness is not installed here


def texts(calibration: dict, tokenizer) -> list[str]:
    """Pruning on other text than dialogues breaks a chat model. The same seed draws the same dialogues."""
    if calibration.get("file"):
        lines = Path(calibration["file"]).read_text(encoding="utf-8").split("\n")  # a string may hold U+2028
        rows = [json.loads(line) for line in lines if line.strip()]
    else:
        rows = _dataset_rows(calibration)
        if rows and not {"messages", "conversations"} & set(rows[0]):
            columns = ", ".join(rows[0])
            raise SystemExit(f"calibration.dataset={calibration['dataset']} has {columns} and no messages: set another "
                             "dataset, or calibration.file to its rows as JSON lines")  # fmt: skip
    dialogues = [_dialogue(number, row, calibration) for number, row in enumerate(rows)]
    dialogues, count = [dialogue for dialogue in dialogues if dialogue], len(dialogues)
    if not dialogues:
        raise SystemExit("calibration: none of its dialogues starts with a user's text; set another dataset or file")
    if len(dialogues) < min(count, calibration["samples"]):
        print(
            f"calibration: {len(dialogues)} of {count} dialogues are left, samples={calibration['samples']}", flush=True
        )
    random.Random(calibration["seed"]).shuffle(dialogues)
    dialogues = dialogues[: calibration["samples"]]
    if tokenizer.chat_template is None:  # a base model: what was said, without a form that it has never seen
        return ["\n\n".join(message["content"] for message in dialogue) for dialogue in dialogues]
    return [_templated(dialogue, tokenizer) for dialogue in dialogues]


def _dialogue(number: int, row: dict, calibration: dict) -> list[dict]:
    """Return a row's messages, empty where it has none (null). Rows of another form end the worker with one line."""
    try:
        return SHARED["dialogue"](SHARED["messages_of"](row) or (), whole=True)
    except (KeyError, TypeError, AttributeError):
        data = calibration.get("file") or calibration.get("dataset")
        raise SystemExit(f"calibration: row {number} of {data} is not {SHARED['FORMS']}; set another dataset") from None


def _dataset_rows(calibration: dict) -> list[dict]:
    """Raise SystemExit with one line where the hub does not give them: a traceback hides which token and which page."""
    from datasets import load_dataset

    hub = {"split": calibration["split"], "revision": calibration.get("revision")}
    try:
        return list(load_dataset(calibration["dataset"], **hub))
    except Exception as error:  # datasets and its transports raise whatever they meet
        failures = runpy.run_path(str(HARNESS / "hub" / "failures.py"))
        place = failures["Place"](calibration["dataset"], "dataset", calibration.get("revision"))
        said = failures["explain"](error, place)
        raise SystemExit(f"calibration: {said}, or set calibration.file to JSON lines with `messages`") from None


def _templated(dialogue: list[dict], tokenizer) -> str:
    """Leave the system message out where the template refuses it, as Gemma's does."""
    from jinja2 import TemplateError

    try:
        return tokenizer.apply_chat_template(dialogue, tokenize=False)
    except TemplateError:
        if dialogue[0]["role"] != "system":
            raise
        return tokenizer.apply_chat_template(dialogue[1:], tokenize=False)


def arguments(calibration: dict, tokenizer) -> dict:
    """For llmcompressor.oneshot: the tokenized dialogues, in this order, each for itself."""
    from datasets import Dataset

    limit = {"truncation": True, "max_length": calibration["max_tokens"]}
    templated = tokenizer.chat_template is not None  # it writes the special tokens itself
    rows = [dict(tokenizer(text, **limit, add_special_tokens=not templated)) for text in texts(calibration, tokenizer)]
    print(f"calibrating on {len(rows)} dialogues, {sum(len(row['input_ids']) for row in rows)} tokens", flush=True)
    return {
        "dataset": Dataset.from_list(rows),
        "num_calibration_samples": len(rows),
        "max_seq_length": calibration["max_tokens"],
        "shuffle_calibration_samples": False,
    }

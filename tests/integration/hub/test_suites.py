"""Every default suite reads from the hub what it reads from a mirror of the same rows."""

import gzip
import json
import re
from pathlib import Path

from tests.hub.contents import JUDGE, MODEL, write_mirror

LM_EVAL = ("arc_challenge", "hellaswag", "truthfulqa_mc2", "winogrande", "gsm8k")
SUITES = (*LM_EVAL, "mmlu", "humaneval", "perplexity", "alpaca_eval")
SETTINGS = [
    f"model={MODEL}",
    f"suite=[openllm,{','.join(SUITES[6:])}]",
    *(f"suites.{name}.items=6" for name in (*LM_EVAL, *SUITES[6:])),
    "suites.mmlu.items=57",
    "suites.perplexity.window=256",
    "suites.humaneval.max_tokens=16",
    "suites.gsm8k.max_tokens=16",
    "suites.alpaca_eval.max_tokens=16",
    f"judge.model={JUDGE}",
]


def stored(results: Path) -> dict[str, list[tuple]]:
    """Suite -> its items: id, and the hashes of the document and of the prompt."""
    found = {}
    for path in sorted((results / "cells").glob("*/record.json")):
        record = json.loads(path.read_text())
        text = gzip.decompress((path.parent / "rows.jsonl.gz").read_bytes()).decode()
        items = [json.loads(line) for line in text.splitlines()]
        found[record["cell"]["key"].split("/")[1]] = sorted((i["id"], i["doc_hash"], i["prompt_hash"]) for i in items)
    return found


def test_the_default_suites_load_from_the_hub_as_from_a_mirror(hub, harness, tmp_path):
    mirror = write_mirror(tmp_path / "mirror")
    done = harness(*SETTINGS)
    assert done.returncode == 0, done.stdout + done.stderr
    ours = stored(tmp_path / "results" / "hub")
    assert set(ours) == set(SUITES)
    assert {ask.path.split("?")[0] for ask in hub.asked if ask.path.startswith("/cdn/")}, "large files by redirect"
    again = harness(*SETTINGS, f"data.root={mirror}", "name=mirror", HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stdout + again.stderr
    assert stored(tmp_path / "results" / "mirror") == ours
    sources = {
        record["cell"]["key"].split("/")[1]: record["result"]["data"]["source"]
        for record in (json.loads(p.read_text()) for p in (tmp_path / "results/hub/cells").glob("*/record.json"))
    }
    assert set(sources.values()) == {"hub"}
    hub.asked.clear()
    some = ("gsm8k", "perplexity", "alpaca_eval")  # by `datasets`, by streaming, file by file
    settings = [text for text in SETTINGS if not re.match(rf"suite=|suites\.(?!{'|'.join(some)})", text)]
    offline = harness(*settings, f"suite=[{','.join(some)}]", "name=offline", HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stdout + offline.stderr
    assert stored(tmp_path / "results" / "offline") == {name: ours[name] for name in some}
    assert not hub.asked, "offline, nothing is asked"


def test_data_whose_branch_moves_is_measured_again(hub, harness, tmp_path):
    gsm8k = ("suite=[gsm8k]", "suites.gsm8k.items=2", "suites.gsm8k.max_tokens=8", f"model={MODEL}")
    data = hub.repositories["dataset", "openai/gsm8k"]
    before = data.refs["main"]
    assert harness(*gsm8k).returncode == 0
    after = data.commit({path: file.data for path, file in data.commits[before].items()} | {"NOTES.md": b"moved"})
    try:
        moved = harness(*gsm8k)
    finally:
        data.refs["main"] = before
    assert moved.returncode == 0, moved.stdout + moved.stderr
    back = harness(*gsm8k)
    assert back.returncode == 0 and "measured already" in back.stdout + back.stderr, back.stdout + back.stderr
    records = [json.loads(path.read_text()) for path in (tmp_path / "results/hub/cells").glob("*/record.json")]
    assert {record["result"]["data"]["digest"] for record in records} == {before, after}

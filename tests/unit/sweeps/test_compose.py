"""The command line and conf/: good sweeps compose, mistakes are named."""

import re
import subprocess
import sys

import pytest

from tests import commands

pytestmark = pytest.mark.slow

SWEEPS = ["quickstart", "hopper_sparse_fp8"]


def harness(*arguments: str, cwd=None, timeout=120) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "harness", *arguments]
    return commands.run(command, timeout=timeout, cwd=cwd)


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_sweep_plans(sweep, tmp_path):
    done = harness(f"+sweep={sweep}", "dry_run=cells", f"results_dir={tmp_path}", f"cache_dir={tmp_path}")
    assert done.returncode == (2 if "preflight would stop this here" in done.stdout else 0), done.stderr
    assert "vllm.entrypoints.openai.api_server --model" in done.stdout
    assert "to measure" in done.stdout
    assert not any(tmp_path.iterdir()), "a dry run writes nothing"
    if sweep == "hopper_sparse_fp8":  # one session for each checkpoint
        for domain in ("gsm8k", "evolcodealpaca", "ultrachat_200k"):
            assert f"--model neuralmagic/Sparse-Llama-3.1-8B-{domain}-2of4-FP8-dynamic" in done.stdout
            assert f"--model neuralmagic/Llama-3.1-8B-{domain}" in done.stdout


def test_a_dry_run_is_one_screen_with_a_line_for_each_session(tmp_path):
    done = harness("+sweep=hopper_sparse_fp8", "dry_run=true", f"results_dir={tmp_path}")
    lines = done.stdout.splitlines()
    assert len(lines) <= 45, done.stdout
    sessions = [line for line in lines if re.match(r"(?:bf16|fp8_dynamic|sparse24_fp8|w4a16)@|judge ", line)]
    assert len(sessions) == 13 and "13 sessions, 635 cells: 0 cached, 635 to measure" in done.stdout


MISTAKES = [
    (["+sweep=quikstart"], ["no sweep 'quikstart'", "did you mean 'quickstart'"]),
    ([], ["no sweep chosen", "quickstart"]),
    (["+sweep=quickstart", "variant=[bf17]"], ["no variant 'bf17'", "did you mean 'bf16'"]),
    (["+sweep=quickstart", "scenario=[chat_96_15]"], ["no scenario", "did you mean 'chat_96_16'"]),
    (["+sweep=quickstart", "suite=[mmul]"], ["no suite 'mmul'", "did you mean 'mmlu'"]),
    (["+sweep=quickstart", "engine=vlm"], ["no engine 'vlm'", "did you mean 'vllm"]),
    (["+sweep=quickstart", "load.rates=[1]"], ["load.rates", "rates_rps"]),
    (["+sweep=quickstart", "load.duration_s=long"], ["load.duration_s", "long"]),
    (["+sweep=quickstart", "engine.prot=8000"], ["engine.prot", "port"]),
    (["+sweep=quickstart", "suites.mmlu.item=3"], ["suites.mmlu.item", "items"]),
    (["+sweep=quickstart", "baseline=fp16"], ["baseline 'fp16'", "bf16"]),
    (["+sweep=quickstart", "variant=[w4a16]"], ["baseline 'bf16'", "set baseline="]),
    (["+sweep=quickstart", "judge.prompt=few_shot"], ["judge: set judge.model"]),
    (["+sweep=quickstart", "name=../x"], ["name=", "folder"]),
    (["+sweep=quickstart", "seed:3"], ["command line", "KEY=VALUE"]),
    (["+sweep=quickstart", "=3"], ["override"]),
    (["+sweep=quickstart", "progress=quiet"], ["progress", "plain"]),
    (["+sweep=quickstart", "dry_run=cell"], ["dry_run=cell", "cells"]),
]


@pytest.mark.parametrize(("arguments", "expected"), MISTAKES, ids=[" ".join(m[0]) or "nothing" for m in MISTAKES])
def test_a_mistake_is_named_without_a_traceback(arguments, expected, tmp_path):
    done = harness(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for words in expected:
        assert words in done.stderr
    assert not any(tmp_path.iterdir()), "nothing was started"


@pytest.mark.parametrize("setting", ["report.price.per_gpu_hour=.nan", "load.duration_s=inf", "load.rates_rps=[1,nan]"])
def test_a_number_that_is_none_is_named(setting, tmp_path):
    done = harness("+sweep=quickstart", setting, f"results_dir={tmp_path}")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith(f"error: {setting.partition('=')[0]}"), done.stderr

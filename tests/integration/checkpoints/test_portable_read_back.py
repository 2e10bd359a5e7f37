"""What the workers write is read alike by transformers 4.57.6, in an environment of its own, and by the installed 5."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoConfig

from harness.checkpoints.workers import portable
from harness.engines import environment
from harness.engines.environment import EnvironmentConfig
from harness.sweeps.composing import compose

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]  # installs transformers 4.57.6

TEXTS = ["The quick brown fox", " leading", "trailing \n\n", "日本語 🙂", "<|im_start|>user\nhi", "a\tb  c", ""]
LLAMA3 = {
    **{"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0},
    **{"high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
}
GEMMA = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 123456.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 12345.0},
}
SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 131072}
KINDS = {  # model type: (rope_parameters, what transformers 4 must find)
    "llama": (LLAMA3, {"rope_theta": 500000.0, "rope_scaling": {k: v for k, v in LLAMA3.items() if k != "rope_theta"}}),
    "qwen3": ({"rope_type": "default", "rope_theta": 77777.0}, {"rope_theta": 77777.0, "rope_scaling": None}),
    "glm4": (
        {"rope_type": "default", "rope_theta": 77777.0, "partial_rotary_factor": 0.25},
        {"rope_theta": 77777.0, "partial_rotary_factor": 0.25},
    ),
    "gemma3_text": (
        GEMMA,
        {
            **{"rope_theta": 123456.0, "rope_local_base_freq": 12345.0},
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        },
    ),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory, tiny_model) -> dict[str, Path]:
    """A checkpoint of each kind as transformers 5 saves it, and the same in the portable form."""
    folder, made = tmp_path_factory.mktemp("forms"), {}
    for kind, (rope, _) in KINDS.items():
        layers = {"layer_types": ["sliding_attention", "full_attention"]} if kind == "gemma3_text" else {}
        for form in ("new", "portable"):
            out = folder / f"{kind}_{form}"
            AutoConfig.for_model(kind, **SIZES, **layers, rope_parameters=json.loads(json.dumps(rope))).save_pretrained(
                out
            )
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(tiny_model)
            tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_start|>"]})
            tokenizer.save_pretrained(out)
            path = out / "tokenizer_config.json"
            config = json.loads(path.read_text())
            path.write_text(json.dumps({**config, "tokenizer_class": "TokenizersBackend"}))
            made[f"{kind}_{form}"] = out
        source = made[f"{kind}_new"]
        portable.save_tokenizer(None, str(source), None, made[f"{kind}_portable"])
        portable.make_config_readable(made[f"{kind}_portable"])
    return made


@pytest.fixture(scope="module")
def readings(written, tmp_path_factory) -> tuple[dict, dict]:
    """(transformers 4, transformers 5): {name of the form: what it reads}."""
    folder = tmp_path_factory.mktemp("read")
    (folder / "texts.json").write_text(json.dumps(TEXTS))
    old = EnvironmentConfig("transformers-4.57.6", install=["transformers==4.57.6 jinja2"])
    cache = Path(compose.compose_sweep(["+sweep=quickstart"]).cache_dir).expanduser()
    python = environment.ensure(old, cache, folder / "install.log")

    def read(interpreter: str) -> dict:
        script = str(Path(__file__).with_name("read_back.py"))
        command = [interpreter, script, str(folder / "texts.json"), *map(str, written.values())]
        done = subprocess.run(
            command, env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found = json.loads(done.stdout.splitlines()[-1])
        return {name: found[str(path)] for name, path in written.items()}

    return read(str(python)), read(sys.executable)


@pytest.mark.parametrize("kind", KINDS)
def test_what_transformers_5_saves_is_not_read_by_4(readings, kind):
    assert "TokenizersBackend" in readings[0][f"{kind}_new"]["error"]
    assert "error" not in readings[1][f"{kind}_new"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_portable_form_has_the_same_tokens_in_both(readings, kind):
    old, new = (reading[f"{kind}_portable"] for reading in readings)
    assert "error" not in old and "error" not in new
    for fact in ("ids", "decoded", "special", "all_special", "chat"):
        assert old[fact] == new[fact] == readings[1][f"{kind}_new"][fact], fact


@pytest.mark.parametrize("kind", KINDS)
def test_the_portable_form_has_the_same_rope_in_both(readings, kind):
    old, new = (reading[f"{kind}_portable"] for reading in readings)
    assert new["rope_parameters"] == readings[1][f"{kind}_new"]["rope_parameters"], "5 reads what it wrote"
    for field, value in KINDS[kind][1].items():
        assert old["old"][field] == value, field

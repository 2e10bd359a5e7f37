"""Settings of the command line: blocks that are null, texts that look like something else, a sweep named wrongly."""

import subprocess
import sys

import pytest
import yaml

from harness.errors import ConfigError
from harness.sweeps.composing.compose import compose_sweep
from harness.sweeps.composing.overrides import prepare_arguments, prepare_overrides
from harness.sweeps.prepare import points_of
from tests import commands

pytestmark = pytest.mark.slow

WITHOUT_JUDGE = ["+sweep=which_compression", "model=org/name"]


def main(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "harness", *arguments]
    return commands.run(command, timeout=120)


def at(value, path):
    for part in path.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


SET = [  # override, where to look, what is there
    ("judge.model=org/judge", "judge.model", "org/judge"),
    ("judge={model: org/judge, prompt: few_shot}", "judge.prompt", "few_shot"),
    ("variants.w4a16_gptq.recipe.smoothing.strength=0.7", "variants.w4a16_gptq.recipe.smoothing.strength", 0.7),
    ("variants.w4a16_gptq.recipe.sparsity.method=magnitude", "variants.w4a16_gptq.recipe.sparsity.pattern", "2:4"),
    ("variants.w4a16_gptq.recipe={sparsity: {pattern: '4:8'}}", "variants.w4a16_gptq.recipe.sparsity.pattern", "4:8"),
    ("variants.bf16.recipe.quantization.scheme=W8A8", "variants.bf16.recipe.quantization.method", "rtn"),
    (
        "variants.bf16.recipe.quantization.weights.num_bits=6",
        "variants.bf16.recipe.quantization.weights",
        {"num_bits": 6},
    ),
    ("variants.fp8_dynamic.recipe.calibration={}", "variants.fp8_dynamic.recipe.calibration.samples", None),
    ("variants.int8_w8a8.recipe.calibration.samples=9", "variants.int8_w8a8.recipe.quantization.method", "gptq"),
    ("variants.bf16.checkpoints.mmlu=org/other", "variants.bf16.checkpoints", {"mmlu": "org/other"}),
    ("report.cutoffs_ms.itl_ms_p99=[15,30]", "report.cutoffs_ms", {"itl_ms_p99": [15, 30]}),
]


@pytest.mark.parametrize(("override", "path", "expected"), SET, ids=[case[0] for case in SET])
def test_a_key_below_a_null_block_is_set(override, path, expected):
    assert at(compose_sweep([*WITHOUT_JUDGE, override]), path) == expected


def test_a_block_that_is_there_keeps_its_other_keys():
    judge = compose_sweep(["+sweep=hopper_sparse_fp8", "judge.prompt=few_shot"]).judge
    assert judge.prompt == "few_shot"
    assert judge.model == compose_sweep(["+sweep=hopper_sparse_fp8"]).judge.model != ""


def test_several_blocks_in_each_other():
    settings = ["smoothing.strength=0.3", "sparsity.method=wanda", "quantization.group_size=32"]
    recipe = (
        compose_sweep([*WITHOUT_JUDGE, *(f"variants.bf16.recipe.{one}" for one in settings)]).variants["bf16"].recipe
    )
    assert (recipe.smoothing.strength, recipe.sparsity.method, recipe.quantization.group_size) == (0.3, "wanda", 32)


@pytest.mark.parametrize("unset", ["judge=null", "~judge"])
@pytest.mark.parametrize("sweep", [WITHOUT_JUDGE, ["+sweep=hopper_sparse_fp8"]], ids=["null", "set"])
def test_a_judge_is_left_out(unset, sweep):
    assert compose_sweep([*sweep, unset]).judge is None


def test_a_judge_set_and_unset_is_refused():
    with pytest.raises(ConfigError, match=r"judge=null and .* contradict each other"):
        compose_sweep([*WITHOUT_JUDGE, "judge=null", "judge.model=a/b"])


MISSPELT = [
    ("variants.w4a16_gptq.recipe.smoothing.strenth=1", "did you mean 'strength'"),
    ("variants.nothing.recipe.smoothing.strength=1", "unknown key 'variants.nothing'"),
    ("variants.w4a16.recipe.smoothing.strength=1", "unknown key 'variants.w4a16'"),  # not part of the sweep
    ("variants.nothing.checkpoints.mmlu=a/b", "unknown key 'variants.nothing'"),
    ("engine.targets.bf16.model=m", "unknown key 'engine.targets'"),  # of another engine
    ("judge.modle=a/b", "did you mean 'model'"),
    ("+lod.repeats=2", "unknown key 'lod.repeats'; did you mean 'load'"),
]


@pytest.mark.parametrize(("override", "said"), MISSPELT, ids=[case[0] for case in MISSPELT])
def test_a_misspelt_key_below_a_null_block_is_still_named(override, said):
    with pytest.raises(ConfigError) as error:
        compose_sweep([*WITHOUT_JUDGE, override])
    assert said in str(error.value)


def test_a_sweep_file_merges_into_null(tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "mine.yaml").write_text(
        "# @package _global_\n"
        "defaults: [which_compression, _self_]\n"
        "model: org/name\n"
        "judge: {model: org/judge}\n"
        "variants: {bf16: {recipe: {smoothing: {strength: 0.25}}}}\n"
    )
    shown = main("--config-dir", str(tmp_path), "+sweep=mine", "judge.calibration_items=5", "--cfg", "job")
    assert shown.returncode == 0, shown.stderr
    composed = yaml.safe_load(shown.stdout)
    assert (composed["judge"]["model"], composed["judge"]["calibration_items"]) == ("org/judge", 5)
    assert composed["variants"]["bf16"]["recipe"]["smoothing"]["strength"] == 0.25


def test_the_command_composes_the_same():
    """hydra.main in __main__, with one of its flags between the settings."""
    settings = [
        "judge.model=org/judge",
        "report.price.source=CLOUD, one H100",
        "engine=endpoint",
        "engine.version=0.10",
    ]
    shown = main(*WITHOUT_JUDGE, *settings, "--cfg", "job")
    assert shown.returncode == 0, shown.stderr
    composed, config = yaml.safe_load(shown.stdout), compose_sweep([*WITHOUT_JUDGE, *settings])
    assert composed["judge"]["model"] == config.judge.model == "org/judge"
    assert composed["report"]["price"]["source"] == config.report.price.source == "CLOUD, one H100"
    assert composed["engine"]["version"] == config.engine.version == "0.10"


TEXTS = [
    "0.10",
    "1e5",
    "1_000",
    "true",
    "CLOUD, eight H100",
    "a: b, {c}",
    'the "fast" one',
    "ends in \\",
    "a=b=c",
    "x (y)",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_stays_as_typed(text):
    assert compose_sweep([*WITHOUT_JUDGE, f"report.price.source={text}"]).report.price.source == text


@pytest.mark.parametrize("typed", ['"A, B"', "'A, B'", r"A\, B"])
def test_a_quoted_text_is_not_quoted_again(typed):
    assert compose_sweep([*WITHOUT_JUDGE, f"report.price.source={typed}"]).report.price.source == "A, B"


def test_null_and_interpolations_of_a_text_keep_their_meaning():
    config = compose_sweep([*WITHOUT_JUDGE, "report.price.source=null", "data.root=${name}"])
    assert config.report.price.source is None
    assert config.data.root == "which_compression"


AMBIGUOUS = [
    ("load.rates_rps=3,5", "write a list in brackets: 'load.rates_rps=[3,5]'"),
    ("variant=bf16,fp8_dynamic", "write a list in brackets: 'variant=[bf16,fp8_dynamic]'"),
    ("suites.gsm8k.items=3,5", "one value"),
    ("engine=vllm,sglang", "one value"),
    ("variants.bf16.deployments.speculative=a,b", "'variants.bf16.deployments.speculative=[a,b]'"),
]


@pytest.mark.parametrize(("override", "said"), AMBIGUOUS, ids=[case[0] for case in AMBIGUOUS])
def test_commas_elsewhere_say_what_to_type(override, said):
    with pytest.raises(ConfigError) as error:
        compose_sweep([*WITHOUT_JUDGE, override])
    assert said in str(error.value)


WRONG = [
    ["sweep=quickstart"], ["--sweep", "quickstart"], ["--sweep=quickstart"], ["sweep", "quickstart"],
    ["+sweeps=quickstart"], ["+sweep", "quickstart"], ["quickstart"], ["sweeps=quickstart"],
    ["+sweep", "=", "quickstart"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", WRONG, ids=[" ".join(one) for one in WRONG])
def test_a_sweep_named_wrongly_says_what_to_type(arguments):
    done = main(*arguments, "dry_run=true")
    assert done.returncode == 2
    assert "type +sweep=quickstart" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_setting_as_a_flag_says_what_to_type():
    done = main("+sweep=quickstart", "--dry-run")
    assert (done.returncode, done.stderr) == (
        2,
        "error: cannot read '--dry-run' on the command line; type dry_run=true\n",
    )


def test_preparing_twice_is_preparing_once():
    given = [*WITHOUT_JUDGE, "~judge", "report.price.source=A, B", "variants.bf16.recipe.smoothing.strength=0.3"]
    once = prepare_overrides(given, ["which_compression"])
    assert prepare_overrides(once, ["which_compression"]) == once


def test_a_number_beside_a_quoted_text_stays_as_typed():
    settings = ["variants.bf16.engine_args=[--x,0.10,'a b']", "+engine.env={A:0.10}"]
    config = compose_sweep([*WITHOUT_JUDGE, *settings])
    assert config.variants["bf16"].engine_args == ["--x", "0.10", "a b"]
    assert config.engine.env == {"A": "0.10"}


@pytest.mark.parametrize(
    ("typed", "prepared"),
    [
        ("engine.args=[--x,0.10, --y ,1e5,true,007]", 'engine.args=[--x,"0.10", --y ,"1e5","true",007]'),
        ("engine.env={A: 0.10, B: http://h:8000, C: x}", 'engine.env={A: "0.10", B: http://h:8000, C: x}'),
        ("engine.args=['a,5,b',0.10]", "engine.args=['a,5,b',\"0.10\"]"),
        ("variants.bf16.engine_args=[--x,0.10,'a b']", "variants.bf16.engine_args=[--x,\"0.10\",'a b']"),
        ('engine.args=["a\\"b, 5",1e5,${name},a\\,5]', 'engine.args=["a\\"b, 5","1e5",${name},a\\,5]'),
        ("engine.env={A:0.10,B:http://h:80, C: '1'}", "engine.env={A:\"0.10\",B:http://h:80, C: '1'}"),
        ("engine.args=[0.10", "engine.args=[0.10"),
        ("engine.args=[]", "engine.args=[]"),
        ("deployments.max_num_seqs=[1,2]", "deployments.max_num_seqs=[1,2]"),
    ],
)
def test_numbers_in_lists_and_dicts_of_texts_stay_as_typed(typed, prepared):
    assert prepare_overrides([typed], ["quickstart"]) == [prepared]
    assert prepare_overrides([prepared], ["quickstart"]) == [prepared]


def test_an_slo_may_be_given_whole():
    typed = ["+sweep=quickstart", "scenarios.rag_256_8.slo={itl_ms_p99: 50, tpot_ms: 40, goodput: 0.99}"]
    found = compose_sweep([*typed, "scenarios.rag_256_8.tiers={batch: {e2e_ms_p95: 60000}}"]).scenarios["rag_256_8"]
    assert found.slo["tpot_ms"] == 40 and found.slo["goodput"] == 0.99 and found.slo["itl_ms_p99"] == 50
    assert found.tiers == {"batch": {"e2e_ms_p95": 60000}}


def test_verbatim_prompts_have_no_length_that_was_asked_for():
    found = compose_sweep(["+sweep=quickstart", "scenarios.rag_256_8.send=verbatim"]).scenarios["rag_256_8"]
    assert (found.prompt_tokens, found.output_tokens) == (0, 8)


def test_fresh_may_be_typed_as_a_flag():
    assert prepare_arguments(["+sweep=quickstart", "--fresh"], ["quickstart"]) == ["+sweep=quickstart", "fresh=true"]


def test_two_sweeps_are_one_too_many():
    with pytest.raises(ConfigError, match=r"one sweep at a time: \+sweep=demo, \+sweep=quickstart"):
        prepare_overrides(["+sweep=demo", "+sweep=quickstart"], ["demo", "quickstart"])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("load.repeats=three", "load.repeats='three' is not a whole number"),
        ("load.duration_s=long", "load.duration_s='long' is not a number"),
    ],
)
def test_a_text_for_a_number_is_named(override, said):
    with pytest.raises(ConfigError) as error:
        compose_sweep(["+sweep=demo", override])
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("load.rates_rps=[-1,2]", "load.rates_rps: every number must be above 0, got -1, 2"),
        ("scenarios.rag_256_8.rates_rps=[0]", "scenarios.rag_256_8: rates_rps: every number must be above 0, got 0"),
    ],
)
def test_a_rate_below_zero_is_named_where_it_was_set(override, said):
    with pytest.raises(ConfigError) as error:
        points_of(compose_sweep(["+sweep=demo", override]))
    assert str(error.value) == said

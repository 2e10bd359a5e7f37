"""Problems that are alike are one, with what differs between them."""

from harness.sweeps.preflight.problem_groups import grouped

HUB = "is not in the hub's cache, and https://huggingface.co cannot be reached"


def test_seven_checkpoints_that_the_hub_does_not_answer_for_are_one_problem_with_seven_names() -> None:
    names = [f"org/model-{number}" for number in range(7)]
    (problem, alike), *others = grouped(f"checkpoint {name} {HUB}" for name in names)
    assert (problem, alike, others) == (f"checkpoint {names[0]} {HUB}", names[1:], [])


def test_suites_and_their_datasets_are_named() -> None:
    assert grouped([f"suite gsm8k: data: dataset openai/gsm8k {HUB}", f"suite mmlu: dataset cais/mmlu {HUB}"]) == [
        (f"suite gsm8k: data: dataset openai/gsm8k {HUB}", ["mmlu (cais/mmlu)"])
    ]


def test_what_is_needed_is_shown_beside_the_name() -> None:
    need = "variant {} needs compute capability {}; this machine: none"
    assert grouped([need.format("fp8_dynamic", "8.9"), need.format("int8_w8a8", "7.5 to below 10.0")]) == [
        (need.format("fp8_dynamic", "8.9"), ["int8_w8a8 (7.5 to below 10.0)"])
    ]


def test_a_problem_alone_is_left_as_it_is_and_the_order_stays() -> None:
    first, second = "cache_dir /x: 1 GB free, 5 GB wanted", "variant bf16 is served on 2 GPUs; this machine has none"
    assert grouped([first, second]) == [(first, []), (second, [])]

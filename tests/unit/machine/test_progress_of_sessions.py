"""The display of sessions that run at once: a bar each, with how far its cell is."""

from harness.console.progress import RichProgress


def test_each_session_has_a_bar_until_it_ends():
    progress = RichProgress()
    progress.cell("bf16/chat/single_stream_r0", "bf16")
    progress.cell("fp8/mmlu", "fp8")
    progress.advance(3, 10, "fp8")
    assert [(bar.description, bar.completed) for bar in progress.display.tasks] == [
        ("bf16/chat/single_stream_r0", 0),
        ("fp8/mmlu", 3),
    ]
    progress.cell("fp8/gsm8k", "fp8")
    progress.session_done("bf16")
    assert [(bar.description, bar.completed) for bar in progress.display.tasks] == [("fp8/gsm8k", 0)]
    progress.session_done("bf16")
    progress.advance(1, 2, "bf16")  # an event that was on its way

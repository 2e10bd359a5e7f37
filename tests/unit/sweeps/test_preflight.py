"""What preflight says of a suite whose data cannot be read."""

import logging
from types import SimpleNamespace

from harness.sweeps.composing.compose import compose_sweep
from harness.sweeps.preflight import preflight


def test_unreadable_data_is_one_line_without_a_traceback(caplog, capsys):
    def problems(_data_root):
        raise ValueError("no such column")

    suite = SimpleNamespace(name="mmlu", problems=problems)
    with caplog.at_level(logging.INFO):
        found = preflight.suite_problems(suite, None)
    assert found == ["suite mmlu: its data cannot be read (ValueError: no such column)"]
    assert not caplog.records and not capsys.readouterr().err


def test_engines_that_are_not_started_here_have_no_device_and_no_arguments():
    for engine in ("simulated", "endpoint"):
        given = ["engine.base_url=http://127.0.0.1:9", "engine.model=m"] if engine == "endpoint" else []
        config = compose_sweep(["+sweep=quickstart", f"engine={engine}", *given])
        assert (config.engine.device, list(config.engine.args), config.engine.version) == (None, [], None)
        assert preflight.secrets_in_arguments(config) == []


def test_a_folder_that_cannot_be_written_in_is_named_before_its_space() -> None:
    config = compose_sweep(["+sweep=demo", "results_dir=/proc/harness/results"])
    (found,) = preflight._disk(config, SimpleNamespace(loads_weights=False))
    assert found == "results_dir /proc/harness/results: nothing can be written in /proc; set results_dir="

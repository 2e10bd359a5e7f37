"""Run a sweep end to end in minutes, without a GPU or a hub.

    harness rehearse +sweep=hopper_sparse_fp8
    harness rehearse +sweep=ampere_sparse_int4 engine.hardware=a100 'scenario=[rag_10240_1536]'

It runs `harness` on the simulated engine with conf/rehearsal.yaml and then your own settings, under the name
NAME_rehearsal; the report is marked SIMULATED. Exit codes are those of `harness`.
"""

import inspect
import json
import shlex
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from harness.console.output import masked_main
from harness.errors import HarnessError
from harness.paths import conf_dir

if TYPE_CHECKING:
    from harness.config.schema import Config


def rehearsal(given: list[str]) -> list[str]:
    """`given` as the command line of its rehearsal. Raises ConfigError for what does not compose."""
    import yaml  # here: these take long to import, and an interrupt meanwhile needs the handlers of masked_main

    from harness.sweeps.composing.compose import compose_sweep

    settings = yaml.safe_load((conf_dir() / "rehearsal.yaml").read_text())
    keep, items = settings.pop("scenarios"), settings.pop("items")
    said = {_key(override) for override in given}
    always = [f"{key}={_value(value)}" for key, value in settings.items() if key not in said]
    config = compose_sweep([*always, *given])
    return [*always, *_smaller(config, keep, items, said), *given]


def _smaller(config: "Config", keep: int, items: int, said: set[str]) -> list[str]:
    """What depends on the sweep: its name, its shortest scenarios without their own ladders, its suites' items."""
    settings: dict[str, Any] = {"name": f"{config.name}_rehearsal"}
    order = sorted(config.scenarios, key=lambda name: config.scenarios[name].output_tokens)[:keep]
    chosen = [name for name in config.scenarios if name in order]
    if "scenario" not in said:
        settings["scenario"] = chosen
    settings |= {f"scenarios.{name}.rates_rps": None for name in chosen if config.scenarios[name].rates_rps}
    for name, suite in config.suites.items():
        sizes = {"items": items, "samples": 1, "temperature": 0, "max_tokens": 64, "reference": "baseline"}
        known = {entry.name for entry in fields(suite)} & set(sizes)
        settings |= {f"suites.{name}.{key}": sizes[key] for key in sorted(known)}
    return [f"{key}={_value(value)}" for key, value in settings.items() if key not in said]


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _value(value: Any) -> str:
    """As Hydra's grammar reads it."""
    return json.dumps(value)


def main() -> int:
    if not sys.argv[1:] or {"-h", "--help"} & set(sys.argv[1:]):
        print(f"usage: harness rehearse +sweep=NAME [KEY=VALUE ...]\n\n{inspect.cleandoc(__doc__)}")
        return 0
    try:
        arguments = rehearsal(sys.argv[1:])
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"$ {shlex.join(['python', '-m', 'harness', *arguments])}\n", file=sys.stderr)
    from harness.sweeps.command import main as run

    sys.argv[1:] = arguments
    return run()


if __name__ == "__main__":
    sys.exit(masked_main(main))

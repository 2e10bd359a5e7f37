"""One sweep from its configuration to its report: plan, preflight, run, store, track, report."""

import logging
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

import harness
from harness.config.deployments import accuracy_of, axes_of
from harness.config.schemes import claimed_words, scheme_words
from harness.config.slo import Slo
from harness.console.output import MaskedFormatter
from harness.console.progress import Progress, make_progress
from harness.engines import leftovers
from harness.engines.parallel import gpus_of
from harness.errors import DiskFull, HarnessError, PreflightError
from harness.machine import disk, host, scratch
from harness.records.flag import Flag
from harness.records.host_facts import HostFacts
from harness.records.manifest import Manifest, Published, Scenario, Variant
from harness.records.phase import REPORT
from harness.records.store import Store
from harness.redaction.masking import mask
from harness.sweeps.budget import budget
from harness.sweeps.composing import compose
from harness.sweeps.distributed.packed import division, test_first
from harness.sweeps.dry_run import print_plan
from harness.sweeps.estimates.estimate import estimates, known_durations
from harness.sweeps.execute import execute
from harness.sweeps.measured_again import measured_again
from harness.sweeps.plan import Plan, build_plan
from harness.sweeps.preflight import preflight
from harness.sweeps.preflight.endpoint_problems import ask
from harness.sweeps.preflight.judge_problems import unjudged
from harness.sweeps.preflight.unsupported import emulated
from harness.sweeps.prepare import Prepared, executor_of, prepare, shared_folders, store_folder
from harness.sweeps.retries import retried, retried_words, to_measure
from harness.sweeps.run import Run
from harness.sweeps.session_lock import await_abandoned
from harness.sweeps.sessions import checkpoint_of
from harness.sweeps.sinks import Updates, Written, write_sinks
from harness.untrusted.names import folder_for

log = logging.getLogger(__name__)


def run_sweep(composed: DictConfig, argv: list[str]) -> int:
    """Return the exit code: 0 complete, 1 some cells or checks failed, or load cells are still invalid, 2 of a dry run:
    preflight would stop this sweep.

    Raises ConfigError and PreflightError before anything starts.
    """
    asked = compose.typed(composed)
    progress = make_progress(asked.progress)
    executor = executor_of(asked)
    with host.measured_on(executor.node(shared_folders(asked), progress.say, wait=not asked.dry_run)):
        prepared = prepare(asked, progress.say, executor=executor)
        return _run(prepared, composed, argv, progress)


def _run(prepared: Prepared, composed: DictConfig, argv: list[str], progress: Progress) -> int:
    config = prepared.config
    store = Store(store_folder(config))
    reports = Path(config.reports_dir).expanduser().resolve()
    out = folder_for(reports, config.name, "remove it, or set reports_dir= or name= to another")
    plan = build_plan(prepared)
    store.survey(cell.fingerprint for cell in plan.cells)
    for damage in store.damages:
        what = "measured again" if damage.path.startswith("cells/") else "written anew"
        aside = "" if damage.path == "sweep.json" else "set aside in cells/.damaged and "
        print(f"warning: {store.root}/{damage}; {aside}{what}", file=sys.stderr)
    notes = [*unjudged(prepared), *measured_again(plan.cells, store), *retried_words(plan.cells, store)]
    if not config.dry_run:
        _clean_up_after_killed_runs(store, progress)
    found = preflight.problems(prepared, plan)
    money = budget(prepared, plan, store)
    wanted = list(plan.cells) if config.fresh else to_measure(plan.cells, store)
    priced = any(prepared.engine.price_of(name).known for name in config.variants)
    asked_of = [] if found else list(ask(prepared, plan, wanted, send=not (config.dry_run and priced)))
    found += [one.problem for one in asked_of if one.problem]
    answers = {one.session.name: one.answer for one in asked_of if one.answer}
    known = known_durations(prepared, plan, store, answers)
    if config.fresh:
        store.measure_again(cell.fingerprint for cell in plan.cells)
    ahead = estimates(prepared, plan, store, known, answers)
    stops = bool(found) and any(cell.fingerprint not in store for cell in wanted)  # a complete sweep reports anywhere
    if config.dry_run:
        print_plan(prepared, plan, store, ahead, found, money.words, notes)
        return 2 if stops else 0
    if stops:
        raise PreflightError(found)
    with store.locked():
        with disk.naming(store.root):
            _start_log(store, config.log_level)
        store.set_aside()
        store.write_manifest(manifest_of(prepared, compose.plain(composed), plan, argv))
        run = Run(prepared, plan, store, progress, ahead, money)
        for one in asked_of:
            run.note_spent(f"{one.session.name}, preflight", run.spend(one.session, one.used))
        if not wanted:
            progress.say(f"all {len(plan.cells)} cells are measured already")
        elif found:
            progress.say(f"{len(wanted)} invalid cells are not measured again here: {'; '.join(found)}")
        else:
            for line in (*notes, *(session.without_recipe for session in plan.sessions if session.without_recipe)):
                progress.say(line)
            if test_first(prepared, plan, store, ahead):
                _test_interference(prepared, plan, store, progress)
                store.write_manifest(manifest_of(prepared, compose.plain(composed), plan, argv))
            if not prepared.executor.serial:
                run.width = division(prepared, plan, store, ahead).width
            progress.start(len(wanted), ahead.total_s / run.width)
            try:
                execute(run, Updates(config, out).after_session)
            finally:
                progress.stop()
    with run.timed(REPORT):
        written = write_sinks(store, config, out)
    invalid = {cell.key: retried(cell, store) for cell in run.invalid()}
    _summary(run.failed, invalid, written)
    return 1 if run.failed or invalid or written.report is None or not written.checks_kept else 0


def _test_interference(prepared: Prepared, plan: Plan, store: Store, progress: Progress) -> None:
    """Decide what may run at once; load sessions run alone where that cannot be tested."""
    from harness.sweeps.interference import (
        command as interference,  # and with it the analysis, which few sweeps need before their end
    )

    try:
        interference.test(prepared, plan, store, progress)
    except DiskFull:
        raise
    except HarnessError as error:
        progress.say(f"the interference test failed, load sessions run alone: {error}")


def manifest_of(prepared: Prepared, composed: dict[str, Any], plan: Plan, argv: list[str]) -> Manifest:
    """Return what the sweep means to measure, with its resolved configuration."""
    config = prepared.config
    return Manifest(
        name=config.name,
        baseline=config.baseline,
        variants={name: _stored_variant(prepared, name) for name in config.variants},
        description=config.description,
        suites=tuple(config.suites),
        scenarios={
            name: Scenario(
                name,
                scenario.prompt_tokens,
                scenario.output_tokens,
                Slo.of(scenario.slo).to_json(),
                {tier: Slo.of(limits).to_json() for tier, limits in scenario.tiers.items()},
            )
            for name, scenario in config.scenarios.items()
        },
        margin=config.decision.margin,
        published=tuple(Published(**asdict(entry)) for entry in config.published),
        report=asdict(config.report),
        checks=asdict(config.checks),
        decision=asdict(config.decision),
        left_out=prepared.left_out,
        command=shlex.join(["python", "-m", "harness", *map(mask, argv[1:])]),
        config=composed,
        cells=tuple(plan.cells),
        host=HostFacts.from_json(host.facts()),
        harness=harness.__version__,
        data=config.data.root or "hub",
        revisions=prepared.revisions,
        interference=prepared.executor.interference,
    )


def _stored_variant(prepared: Prepared, name: str) -> Variant:
    config = prepared.config
    variant = config.variants[name]
    inspected = prepared.engine.target(name) is None  # nobody looks into the checkpoint of someone else's server
    return Variant(
        name,
        variant.label,
        **(scheme_words(variant.scheme) if inspected else claimed_words(variant.scheme)),
        checkpoint=checkpoint_of(config, variant),
        load_checkpoint=variant.load_checkpoint,
        gpus=gpus_of(config, variant),
        deployment_of=variant.deployment_of,
        deployment=axes_of(variant).given(),
        accuracy_of=accuracy_of(variant),
        emulated=emulated(config, name),
    )


def _clean_up_after_killed_runs(store: Store, progress: Progress) -> None:
    """Before preflight, which looks at ports and at memory."""
    results_dir = store.root.parent
    await_abandoned(store, progress)
    scratch.remove_abandoned()
    for left in leftovers.find(results_dir):
        if left.marked:
            progress.say(f"stopping {left.words}")
            leftovers.stop(left)
        else:
            still = "still runs and does not carry its run's mark; check it, and stop it with"
            progress.say(f"{left.words} {still}: kill {left.pid}")


def _start_log(store: Store, level: str) -> None:
    store.logs.mkdir(parents=True, exist_ok=True)
    logging.raiseExceptions = False  # a log that cannot be written must not print a traceback over the real reason
    handler = logging.FileHandler(store.logs / "harness.log")
    handler.setFormatter(MaskedFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("harness")
    root.addHandler(handler)
    root.setLevel(level.upper())
    root.propagate = False


def _summary(failed: dict[str, str], invalid: dict[str, tuple[Flag, ...]], written: Written) -> None:
    if invalid:
        from harness.report.flag_catalogue import remedies  # with the report, which is written by now

        print(f"\n{len(invalid)} {'cell is' if len(invalid) == 1 else 'cells are'} invalid and not compared:")
        for key, flags in invalid.items():
            print(f"  {key}: " + "; ".join(flag.message for flag in flags))
            print("    " + "; ".join(remedies(flags)))
        print("the same command measures them again, and nothing else")
    if failed:
        print(f"\n{len(failed)} cells failed:")
        for error in dict.fromkeys(failed.values()):  # an engine that did not start fails many cells with one reason
            print(f"  {', '.join(key for key, reason in failed.items() if reason == error)}:\n    {error}")
        print("the same command measures them again, and nothing else")
    if written.report:
        print(f"\nreport:  {written.report}")
    if written.compare:
        print(f"compare: {written.compare}")

"""The plan: engine sessions, each an ordered list of cells. Pure; this is what `dry_run=true` prints.

An engine is expensive and lives across many cells, so a session is one (variant, checkpoint), and the cells that need
it. Answers are judged in a session of the judge's own, after the variants'.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.accuracy import JudgedSuite, Suite
from harness.checkpoints import gguf
from harness.checkpoints.file_digests import FOLDER, Digests
from harness.checkpoints.identity import argument_files
from harness.checkpoints.named_repositories import argument_commits
from harness.checkpoints.planned_repairs import planned_overrides
from harness.checkpoints.prepare import identity, tokenizer_identity
from harness.checkpoints.recipes import recipe_of
from harness.config.deployments import accuracy_of, axes_of
from harness.config.schema import Config
from harness.config.variants import Variant
from harness.config.workloads import Scenario
from harness.engines import Deployment, Engine
from harness.engines.credentials import without_credentials
from harness.engines.parallel import clash, gpus_of
from harness.errors import ConfigError
from harness.gemm import GEMM
from harness.gemm.cells import gemm_inputs
from harness.load import load_points
from harness.machine import host
from harness.records.cell import PlannedCell
from harness.records.point import LoadPoint
from harness.redaction.masked_data import mask_data
from harness.redaction.masking import mask_urls
from harness.text.corpora import corpus_digest

MEASUREMENT = 2  # raised when the code changes what a stored number means
JUDGE = "judge"
NO_TRAFFIC = ("rates_rps", "slo", "text")  # of a scenario: in the points, judged by later, in the corpus' digest


@dataclass(frozen=True)
class Session:
    """One engine start. `checkpoint` and `recipe` say what it serves."""

    name: str
    variant: str
    checkpoint: str
    recipe: dict[str, Any] | None
    served: Deployment  # of the checkpoint as it is referred to
    cells: tuple[PlannedCell, ...]

    def deployment(self, location: str, revision: str | None = None) -> Deployment:
        return replace(self.served, model=location, revision=revision)

    @property
    def planned_weights(self) -> dict[str, Any] | None:
        """What decides the checkpoint, as it is in the fingerprint of each cell; None where that is not known."""
        inputs = [cell.inputs.get("judge", cell.inputs) for cell in self.cells]
        return inputs[0].get("weights") if inputs else None

    @property
    def planned_overrides(self) -> list[dict[str, Any]]:
        """Those of the deployment, and those in the fingerprint of each cell."""
        inputs = [cell.inputs["judge"] if cell.kind == "judge" else cell.inputs for cell in self.cells]
        return [self.served.config_overrides, *(found.get("config_overrides", {}) for found in inputs)]


@dataclass(frozen=True)
class Plan:
    sessions: tuple[Session, ...]

    @property
    def cells(self) -> list[PlannedCell]:
        return [cell for session in self.sessions for cell in session.cells]


def fingerprint(inputs: dict[str, Any]) -> str:
    """Secrets are masked before: another token in `engine.env` is the same engine."""
    found = mask_data({"measurement": MEASUREMENT, **inputs}, mask_urls)
    text = json.dumps(found, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Contents:
    """What the cells of a plan serve and are asked with, by content."""

    config: Config
    engine: Engine
    digests: Digests

    def weights(self, reference: str, recipe: dict[str, Any] | None) -> dict[str, Any]:
        """What decides the checkpoint, in the form that this engine serves."""
        if self.engine.weights == gguf.FORM:
            return gguf.identity(reference, recipe, self.engine.tools(), self.digests)
        return identity(reference, recipe, self.config.compression, self.digests)

    def arguments(self, args: Sequence[str]) -> dict[str, Any]:
        """The files and hub repositories that arguments of the engine name: adapters, draft models, templates."""
        if not self.engine.loads_weights:
            return {}
        every = (*self.config.engine.args, *args)
        files = argument_files(every, self.digests)
        commits = argument_commits(every, self.engine.model_flags)
        return ({"files": files} if files else {}) | ({"repositories": commits} if commits else {})

    @cached_property
    def tokenizer(self) -> dict[str, Any]:
        return tokenizer_identity(self.config.model, self.digests)


def build_plan(config: Config, engine: Engine, suites: dict[str, Suite], digests: Digests | None = None) -> Plan:
    """The products first, then the baseline, the variants in the sweep's order, and the judge."""
    contents = Contents(config, engine, digests or Digests(Path(config.cache_dir).expanduser() / FOLDER))
    order = sorted(config.variants, key=lambda name: name != config.baseline)
    sessions: list[Session] = []
    for name in order:
        sessions += _variant_sessions(contents, suites, name)
    answers = {cell.key: cell for session in sessions for cell in session.cells}
    judging = _judge_session(contents, suites, answers, order)
    return Plan(tuple(_gemm_sessions(contents) + sessions + ([judging] if judging else [])))


def _gemm_sessions(contents: Contents) -> list[Session]:
    config = contents.config
    cells = [
        PlannedCell(f"{variant}/{GEMM}/{layer}", GEMM, variant, fingerprint(inputs), layer=layer, inputs=inputs)
        for variant, layer, inputs in gemm_inputs(config, contents.engine, contents.digests)
    ]
    return [Session(GEMM, GEMM, config.model, None, Deployment(GEMM, config.model), tuple(cells))] if cells else []


def checkpoint_of(config: Config, variant: Variant, suite: str | None = None) -> str:
    return (suite and variant.checkpoints.get(suite)) or variant.checkpoint or config.model


def served_as(config: Config, engine: Engine, name: str, checkpoint: str, recipe: dict | None = None) -> Deployment:
    """Raises ConfigError for a deployment that this engine cannot serve."""
    variant = config.variants[name]
    axes = axes_of(variant)
    try:
        deployed = engine.deployment_args(axes)
    except ConfigError as error:
        raise ConfigError(f"variant {name}: deployments.{error}") from None
    if flag := clash(variant.engine_args, deployed):
        raise ConfigError(f"variant {name}: its deployments and its engine_args both set {flag}; take it out of one")
    args = (*variant.engine_args, *deployed)
    overrides = planned_overrides(checkpoint, recipe, engine.release)
    return Deployment(name, checkpoint, args, None, axes, variant.scheme, variant.deployment_of, overrides)


def _variant_sessions(contents: Contents, suites: dict[str, Suite], name: str) -> list[Session]:
    config, engine = contents.config, contents.engine
    variant = config.variants[name]
    recipe = recipe_of(config, variant)
    served: dict[tuple[str, bool], list[PlannedCell]] = {}  # (checkpoint, is the recipe applied to it?) -> cells
    # Load cells first: they want the engine as it started, and they are the shorter wait for a first look.
    if config.scenarios:
        checkpoint, made = variant.load_checkpoint or checkpoint_of(config, variant), not variant.load_checkpoint
        base = _base_inputs(contents, name, checkpoint, recipe if made else None)
        cells = served.setdefault((checkpoint, made), [])
        for scenario_name, scenario in config.scenarios.items():
            cells += _load_cells(contents, base, name, scenario_name, scenario)
    runs = 1 + config.noise_runs if name == config.baseline else 1
    for repeat in range(runs):
        for suite_name, suite in ({} if accuracy_of(variant) else suites).items():
            checkpoint = checkpoint_of(config, variant, suite_name)
            inputs = _base_inputs(contents, name, checkpoint, recipe)
            inputs["concurrency"] = engine_concurrency(config, engine)
            cell = _accuracy_cell(contents, inputs, name, suite_name, suite, repeat)
            served.setdefault((checkpoint, True), []).append(cell)
    several = len(served) > 1
    return [
        Session(
            f"{name}@{checkpoint}" if several else name,
            name,
            checkpoint,
            recipe if made else None,
            served_as(config, engine, name, checkpoint, recipe if made else None),
            tuple(cells),
        )
        for (checkpoint, made), cells in served.items()
    ]


def engine_concurrency(config: Config, engine: Engine) -> int:
    """Accuracy requests in flight: the sweep's, and no more than the owner of the server allows."""
    return min(config.concurrency, engine.limits.max_concurrency or config.concurrency)


def _accuracy_cell(
    contents: Contents, base: dict[str, Any], variant: str, suite_name: str, suite: Suite, repeat: int
) -> PlannedCell:
    """`repeat` above 0 is the baseline once more: what differs between the two is noise."""
    config = contents.config
    inputs = {**base, "suite": suite.fingerprint(config.data.root), "seed": config.seed}
    inputs["tokenizer"] = contents.tokenizer
    key = f"{variant}/{suite_name}"
    if repeat:
        inputs, key = {**inputs, "repeat": repeat}, f"{key}/r{repeat}"
    return PlannedCell(key, "accuracy", variant, fingerprint(inputs), suite_name, repeat=repeat, inputs=inputs)


def _load_cells(
    contents: Contents, base: dict, variant: str, scenario_name: str, scenario: Scenario
) -> list[PlannedCell]:
    config = contents.config
    shape = {key: value for key, value in asdict(scenario).items() if key not in NO_TRAFFIC}
    shape["corpus"] = corpus_digest(scenario.text)
    limits = {"request_timeout_s": config.load.request_timeout_s, "cell_timeout_s": config.load.cell_timeout_s}
    cells = []
    for point in _points(config, scenario_name, scenario):
        inputs = {**base, "scenario": {"name": scenario_name, **shape}, "point": point.to_json(), "seed": config.seed}
        inputs |= {"limits": limits, "tokenizer": contents.tokenizer}
        if point.profile == "capacity":
            inputs["search"] = {"slo": asdict(scenario.slo), **asdict(config.load.capacity)}
        key = f"{variant}/{scenario_name}/{point.slug}"
        found = {"scenario": scenario_name, "point": point, "repeat": point.repeat}
        cells.append(PlannedCell(key, "load", variant, fingerprint(inputs), inputs=inputs, **found))
    return cells


def _points(config: Config, name: str, scenario: Scenario) -> list[LoadPoint]:
    try:
        return load_points(config.load, scenario)
    except ConfigError as error:
        where = "" if str(error).startswith("load") else f"scenarios.{name}: "
        raise ConfigError(f"{where}{error}") from None


def _base_inputs(contents: Contents, name: str, checkpoint: str, recipe: dict | None) -> dict[str, Any]:
    config, engine = contents.config, contents.engine
    variant = config.variants[name]
    deployment = served_as(config, engine, name, checkpoint, recipe)
    told = engine.deployment_args(deployment.axes)
    if not clash(engine.args, told):
        told = engine.deployment_args(deployment.axes.beyond_defaults())
    # The name too: the same weights under two names are two measurements, which is how a noise floor is made.
    inputs = {"variant": name, "engine": engine.fingerprint(), "engine_args": [*variant.engine_args, *told]}
    inputs |= {"host": _host(config, variant)}
    inputs |= engine.deployment_fingerprint(deployment)
    if engine.loads_weights:
        inputs["weights"] = contents.weights(checkpoint, recipe)
    inputs |= contents.arguments(deployment.args)
    if deployment.config_overrides:
        inputs["config_overrides"] = deployment.config_overrides
    return inputs


def _host(config: Config, variant: Variant) -> dict[str, Any]:
    return host.identity(host.gpus_for(config.engine)[: gpus_of(config, variant)])


def _judge_session(contents: Contents, suites, answers: dict[str, PlannedCell], order: list[str]) -> Session | None:
    """One judge cell a variant for every suite that only gathers answers."""
    config, engine = contents.config, contents.engine
    judged = {name: suite for name, suite in suites.items() if isinstance(suite, JudgedSuite)}
    if not judged or config.judge is None:
        return None
    judge = config.judge
    overrides = {} if judge.base_url else planned_overrides(judge.model or "", None, engine.release)
    deployment = Deployment(JUDGE, judge.model or "", tuple(judge.engine_args), config_overrides=overrides)
    if judge.base_url:
        identity_of_judge = {
            "base_url": fingerprint({"url": without_credentials(judge.base_url)}),
            "model": judge.endpoint_model,
        }
    else:
        identity_of_judge = {"engine": engine.fingerprint(), "engine_args": list(judge.engine_args)}
        identity_of_judge |= {} if engine.loads_weights else {"model": judge.model}
        identity_of_judge |= engine.deployment_fingerprint(deployment)
        if engine.loads_weights:
            identity_of_judge["weights"] = contents.weights(judge.model, None)
        identity_of_judge |= contents.arguments(judge.engine_args)
        if overrides:
            identity_of_judge["config_overrides"] = overrides
    ours = Variant(engine_args=list(judge.engine_args))
    judge_host = host.identity() if judge.base_url else _host(config, ours)
    cells = []
    for suite_name, suite in judged.items():
        against_baseline = suite.against_baseline
        for name in order:
            if f"{name}/{suite_name}" not in answers:
                continue  # it has another variant's answers
            if against_baseline and name == config.baseline:
                continue  # its win rate against itself is one half by definition
            inputs = {"variant": name, "judge": identity_of_judge, "seed": config.seed, "host": judge_host}
            inputs |= {"suite": suite.fingerprint(config.data.root), "judging": suite.judge_fingerprint(judge)}
            inputs["answers"] = answers[f"{name}/{suite_name}"].fingerprint
            if against_baseline:
                inputs["reference"] = answers[f"{config.baseline}/{suite_name}"].fingerprint
            key = f"{name}/{suite_name}/judge"
            cells.append(PlannedCell(key, "judge", name, fingerprint(inputs), suite_name, inputs=inputs))
    return Session(JUDGE, JUDGE, judge.model or "", None, deployment, tuple(cells)) if cells else None

"""The sessions of a sweep, without their cells: what each engine start serves, and all that decides its results."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.checkpoints.identity import argument_files
from harness.checkpoints.named_repositories import argument_commits
from harness.checkpoints.planned_repairs import planned_overrides
from harness.checkpoints.prepare import Workshop
from harness.checkpoints.quantized import quantization_of
from harness.checkpoints.recipe_fields import RecipeFields
from harness.checkpoints.recipes import recipe_of
from harness.config.catalogue import has_default_recipe
from harness.config.deployments import accuracy_of, axes_of
from harness.config.judge import served_model
from harness.config.schema import Config, Judge
from harness.config.variants import Variant
from harness.engines import Deployment, Engine
from harness.engines.build import ENDPOINTS, Build, Builds
from harness.engines.credentials import without_credentials
from harness.engines.parallel import clash, gpus_of
from harness.errors import ConfigError, HarnessError
from harness.gemm import GEMM
from harness.gemm.shapes import config_identity
from harness.machine import host
from harness.records.fields import Facts
from harness.records.manifest import LeftOut
from harness.sweeps.fingerprint import fingerprint
from harness.sweeps.measuring.judge_server import judge_server
from harness.sweeps.session import JUDGE, VARIANT, Session


@dataclass(frozen=True)
class Sessions:
    """Makes them, in the order in which they run; what several share is asked once."""

    config: Config
    engine: Engine
    suites: Sequence[str]
    judged: Sequence[str]  # those of the suites that only gather answers
    workshop: Workshop
    left_out: Sequence[LeftOut]
    cores: int | None = None  # CPU cores of each session's engine, where it computes on them; None: all

    def __iter__(self) -> Iterator[Session]:
        """Yield the products first, then the baseline, the variants in the sweep's order, and the judge."""
        yield from self._products()
        for name in baseline_first(self.config):
            yield from self._of_variant(name)
        yield from self._judging()

    @cached_property
    def _engine_identity(self) -> Facts:
        return self.engine.fingerprint()

    def _products(self) -> Iterator[Session]:
        config, engine = self.config, self.engine
        without_products = {entry.variant for entry in self.left_out if entry.part == GEMM}
        if not config.gemm.batch_sizes or config.baseline in without_products:
            return
        known = engine.gemm.fingerprint() if engine.gemm else {}
        here = self._here(1)
        model = config_identity(config.model, config.compression, self.workshop.digests)
        yield Session(GEMM, self._free_name(GEMM), config.model, None, {"engine": known, "host": here, "model": model})

    def _of_variant(self, name: str) -> Iterator[Session]:
        """Yield one for each checkpoint that the variant's scenarios and suites are measured on."""
        variant = self.config.variants[name]
        recipe = recipe_of(self.config, variant)
        served: dict[tuple[str, bool], dict[str, list[str]]] = {}  # (checkpoint, is the recipe applied to it?)
        if self.config.scenarios:
            checkpoint, made = (
                variant.load_checkpoint or checkpoint_of(self.config, variant),
                not variant.load_checkpoint,
            )
            served.setdefault((checkpoint, made), {})["scenarios"] = list(self.config.scenarios)
        for suite in () if accuracy_of(variant) else self.suites:
            checkpoint = checkpoint_of(self.config, variant, suite)
            served.setdefault((checkpoint, True), {}).setdefault("suites", []).append(suite)
        for (checkpoint, made), measured in served.items():
            session_name = f"{name}@{checkpoint}" if len(served) > 1 else name
            subjects = {what: tuple(names) for what, names in measured.items()}
            unasked = self._unasked(name, checkpoint) if recipe and made else None
            applied = recipe if made and not unasked else None
            yield self._serving(name, session_name, checkpoint, applied, subjects, unasked)

    def _unasked(self, name: str, checkpoint: str) -> str | None:
        """Return why the catalogue's recipe is left out: the variant names a checkpoint that is quantized already.

        None for a recipe that the sweep sets itself, and for the sweep's model: these are mistakes, and preflight's.
        """
        variant = self.config.variants[name]
        if checkpoint not in (variant.checkpoint, *variant.checkpoints.values()) or not self.engine.loads_weights:
            return None
        method = quantization_of(checkpoint, self.engine.weights) if has_default_recipe(name, variant) else None
        return f"variant {name}: {checkpoint} is already quantized ({method}): no recipe is applied" if method else None

    def _serving(
        self,
        name: str,
        session_name: str,
        checkpoint: str,
        recipe: RecipeFields | None,
        subjects: dict[str, tuple],
        without_recipe: str | None,
    ) -> Session:
        engine, variant = self.engine, self.config.variants[name]
        deployment = self._deployment(name, checkpoint, recipe)
        told = engine.deployment_args(deployment.axes)
        if not clash(engine.args, told):
            told = engine.deployment_args(deployment.axes.beyond_defaults())
        # The name too: the same weights under two names are two measurements, which is how a noise floor is made.
        inputs: dict[str, Any] = {"variant": name, "engine": self._engine_identity}
        inputs |= {"engine_args": [*variant.engine_args, *told]}
        inputs |= {"host": self._host(variant)} | self._served(deployment, checkpoint, recipe)
        weights = inputs.get("weights")
        return Session(
            VARIANT, session_name, checkpoint, deployment, inputs, name, recipe, without_recipe, weights, **subjects
        )

    def _deployment(self, name: str, checkpoint: str, recipe: RecipeFields | None) -> Deployment:
        """Raise ConfigError for a deployment that this engine cannot serve."""
        variant = self.config.variants[name]
        axes = axes_of(variant)
        try:
            deployed = self.engine.deployment_args(axes)
        except ConfigError as error:
            raise ConfigError(f"variant {name}: deployments.{error}") from None
        if flag := clash(variant.engine_args, deployed):
            raise ConfigError(
                f"variant {name}: its deployments and its engine_args both set {flag}; take it out of one"
            )
        args = (*variant.engine_args, *deployed)
        overrides = planned_overrides(checkpoint, recipe, self.engine.release)
        return Deployment(name, checkpoint, args, None, axes, variant.scheme, variant.deployment_of, overrides)

    def _served(self, deployment: Deployment, checkpoint: str, recipe: RecipeFields | None) -> dict[str, Any]:
        """Return what decides which weights answer, and how the engine reads them."""
        inputs = dict(self.engine.deployment_fingerprint(deployment))
        if self.engine.loads_weights:
            inputs |= {"weights": self.workshop.identity(checkpoint, recipe)}
            args = (*self.engine.args, *deployment.args)
            files = argument_files(args, self.workshop.digests)
            commits = argument_commits(args, self.engine.model_flags)
            inputs |= ({"files": files} if files else {}) | ({"repositories": commits} if commits else {})
        return inputs | ({"config_overrides": deployment.config_overrides} if deployment.config_overrides else {})

    def _host(self, variant: Variant) -> dict[str, Any]:
        return self._here(gpus_of(self.config, variant))

    def _here(self, gpus: int) -> dict[str, Any]:
        here = host.identity(host.gpus_for(self.engine)[:gpus])
        return {**here, "cores": self.cores} if self.cores else here

    def _judging(self) -> Iterator[Session]:
        judge, suites = self.config.judge, tuple(self.judged)
        if not suites or judge is None:
            return
        name = self._free_name(JUDGE)
        if judge.base_url:
            url = fingerprint({"url": without_credentials(judge.base_url)})
            at_endpoint: dict[str, Any] = {"base_url": url, "model": judge.endpoint_model}
            if build := self._judge_build(judge):
                at_endpoint["build"] = build.to_json()
            yield Session(JUDGE, name, "", None, {"judge": at_endpoint, "host": host.identity()}, suites=suites)
            return
        model = served_model(judge)
        overrides = planned_overrides(model, None, self.engine.release)
        deployment = Deployment(name, model, tuple(judge.engine_args), config_overrides=overrides)
        identity: dict[str, Any] = {"engine": self._engine_identity, "engine_args": list(judge.engine_args)}
        identity |= {} if self.engine.loads_weights else {"model": model}
        identity |= self._served(deployment, model, None)
        inputs = {"judge": identity, "host": self._host(Variant(engine_args=list(judge.engine_args)))}
        yield Session(JUDGE, name, model, deployment, inputs, weights=identity.get("weights"), suites=suites)

    def _judge_build(self, judge: Judge) -> Build | None:
        """None where the endpoint tells nothing, or its address is one of the problems that preflight names."""
        try:
            build = Builds(self.engine.cache_dir / ENDPOINTS).identity(judge_server(judge))
        except HarnessError:
            return None
        return build if build and build.tells_builds_apart else None

    def _free_name(self, kind: str) -> str:
        """Return the name of a session of no variant; a variant may have the name of the kind."""
        name = kind
        while name in self.config.variants:
            name += "_session"
        return name


def baseline_first(config: Config) -> list[str]:
    return sorted(config.variants, key=lambda name: name != config.baseline)


def checkpoint_of(config: Config, variant: Variant, suite: str | None = None) -> str:
    return (suite and variant.checkpoints.get(suite)) or variant.checkpoint or config.model

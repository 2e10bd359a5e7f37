"""Everything that can be known before a model loads; all failures at once."""

import logging
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from harness.accuracy import Suite
from harness.checkpoints import hub
from harness.config.deployments import accuracy_of
from harness.config.schema import Config
from harness.config.workloads import VERBATIM
from harness.engines import Engine
from harness.engines.credentials import argument_problems
from harness.engines.parallel import gpus_of
from harness.errors import ConfigError
from harness.gemm.cells import gemm_problems
from harness.loadgen.traffic.requests import Traffic, longest_request
from harness.machine import host, scratch
from harness.protocol.urls import proxy_of
from harness.redaction.masking import mask
from harness.sweeps.distributed import packed
from harness.sweeps.plan import Plan
from harness.sweeps.preflight import capabilities, checkpoint_problems, judge_problems
from harness.sweeps.preflight.unsupported import engine_fits, unmet
from harness.sweeps.prepare import Prepared
from harness.sweeps.session_gpus import gpu_problems
from harness.text.corpora import is_on_hub, load_corpus
from harness.text.hub_text import parse
from harness.text.verbatim import bound_problem

log = logging.getLogger(__name__)


def problems(prepared: Prepared, plan: Plan) -> list[str]:
    """What this machine lacks for the cells that are still to be measured; empty when it can start."""
    config, engine = prepared.config, prepared.engine
    found = engine.problems() + secrets_in_arguments(config)
    served = {session.label: session.served for session in plan.sessions if session.served}
    found += engine.deployment_problems(list(served.values()))
    if engine.loads_weights:
        found += _hardware(config) + gpu_problems(config, engine, prepared.executor, plan)
        for name in sorted({cell.variant for cell in plan.cells}):
            found += (
                [] if accuracy_of(config.variants[name]) else needs_problems(config, name)
            )  # the head says it for all
            found += _gpus(config, name)
    found += prepared.executor.problems() + packed.gpu_problems(prepared, plan)
    found += checkpoint_problems.problems(prepared, plan)
    for suite in prepared.suites.values():
        found += suite_problems(suite, config.data.root)
    found += gemm_problems(config, engine, prepared.workshop)
    found += judge_problems.problems(prepared, plan)
    found += capabilities.problems(config, engine, prepared.suites, prepared.points)
    found += _proxies(plan, engine)
    found += text_problems(config)
    found += _lengths(prepared)
    found += _disk(config, engine) + scratch.problems()
    return list(dict.fromkeys(map(mask, found)))


def secrets_in_arguments(config: Config) -> list[str]:
    """Secrets among the arguments of a server: every user of the machine sees these."""
    instead = "remove it: the server listens on 127.0.0.1 alone; export a token for the hub as HF_TOKEN"
    found = argument_problems("engine.args", config.engine.args, instead)
    for name, variant in config.variants.items():
        found += argument_problems(f"variants.{name}.engine_args", variant.engine_args, instead)
    return found + argument_problems("judge.engine_args", config.judge.engine_args if config.judge else (), instead)


def suite_problems(suite: Suite, data_root: str | None) -> list[str]:
    """One line for each problem, whatever its data holds; the traceback is logged at DEBUG."""
    try:
        return suite.problems(data_root)
    except Exception as error:
        log.debug("suite %s", suite.name, exc_info=True)
        return [f"suite {suite.name}: its data cannot be read ({type(error).__name__}: {error})"]


def _proxies(plan: Plan, engine: Engine) -> list[str]:
    """The load client opens its connections itself: through a proxy it would time the proxy."""
    loaded = [session.label for session in plan.sessions if session.scenarios]
    urls = dict.fromkeys(target.base_url for target in map(engine.target, loaded) if target and target.base_url)
    return [
        f"the environment sends requests to {host} through a proxy, and scenarios are measured on direct connections: "
        f"export no_proxy={host} if it can be reached directly, or leave the scenarios out with scenario=[]"
        for host in dict.fromkeys(urlsplit(url).hostname for url in urls if proxy_of(url))
    ]


def text_problems(config: Config) -> list[str]:
    """Scenario text that is on this machine is read; a dataset on the hub is looked for."""
    found = []
    for name, scenario in config.scenarios.items():
        try:
            if scenario.send == VERBATIM:
                wrong = bound_problem(scenario.text, scenario.output_tokens)
                found += [f"scenarios.{name}.text: {wrong}"] if wrong else []
            elif is_on_hub(scenario.text):
                asked = parse(scenario.text)
                lacking = hub.missing_dataset(asked.dataset, asked.revision)
                instead = f"pin a commit that this machine has (hub:{asked.dataset}@COMMIT), or name a local file"
                found += [f"scenarios.{name}.text: {lacking}, {instead}"] if lacking else []
            else:
                load_corpus(scenario.text)
        except ConfigError as error:
            found.append(f"scenarios.{name}.text: {error}")
    return found


def _hardware(config: Config) -> list[str]:
    if config.engine.device == "cpu":
        return []
    present, tool = _present(config)
    wanted = max(config.hardware.gpus, 1 if tool == "rocminfo" else 0)
    if wanted > present:
        why = f"; {host.no_nvml()}" if tool == "NVML" and host.no_nvml() else ""
        return [f"the sweep needs {wanted} GPU(s); this machine has {present or 'none'} ({tool}{why})"]
    return []


def _present(config: Config) -> tuple[int, str]:
    """GPUs of the engine's kind, and what counts them."""
    if config.engine.device == "rocm":
        return len(host.amd_gpus()), "rocminfo"
    return len(host.gpus()), "NVML"


def _gpus(config: Config, name: str) -> list[str]:
    needed, (present, tool) = gpus_of(config, config.variants[name]), _present(config)
    if needed <= max(present, 1) or config.engine.device == "cpu":
        return []
    return [f"variant {name} is served on {needed} GPUs; this machine has {present or 'none'} ({tool})"]


def needs_problems(config: Config, name: str) -> list[str]:
    need, engine = config.variants[name].needs.engine, config.engine
    if need and engine_fits(need, engine.kind, engine.version) is None:
        return [f"variants.{name}.needs.engine: cannot read {need!r}; write it like 'vllm<0.19'"]
    reason = unmet(config, name)
    return [f"variant {name} {reason}"] if reason else []


def _lengths(prepared: Prepared) -> list[str]:
    """The longest request of every scenario, spreads, turns and traces included, against the engine's context."""
    config = prepared.config
    limit = prepared.engine.max_model_len
    if not limit:
        return []
    found = []
    for name, suite in prepared.suites.items():
        longest = suite.longest_request()
        if longest > limit:
            found.append(
                f"suite {name} needs {longest} tokens; engine.max_model_len is {limit}: set suites.{name}.window"
            )
    for name, scenario in config.scenarios.items():
        points = prepared.points[name]
        traffic = Traffic(name, scenario, config.load, config.seed)
        longest = max((longest_request(traffic, point) for point in points), default=0)
        if longest > limit:
            found.append(f"scenario {name} needs {longest} tokens; engine.max_model_len is {limit}")
    return found


def _disk(config: Config, engine: Engine) -> list[str]:
    found = []
    for setting in ("results_dir", "cache_dir"):
        path = Path(getattr(config, setting)).expanduser().resolve()
        existing = next(parent for parent in (path, *path.parents) if parent.exists())
        if not existing.is_dir() or not _writable(existing):
            found.append(f"{setting} {path}: nothing can be written in {existing}; set {setting}=")
            continue
        free_gb = shutil.disk_usage(existing).free / 1e9
        weights = setting == "cache_dir" and engine.loads_weights
        wanted = config.hardware.min_free_disk_gb if weights else 0.5
        if free_gb < wanted:
            found.append(f"{setting} {path}: {free_gb:.1f} GB free, {wanted:g} GB wanted; free some or set {setting}=")
    return found


def _writable(folder: Path) -> bool:
    """Whether a file can be made there: its mode does not say so of a read-only file system, or to root."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False

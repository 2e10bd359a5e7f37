"""Everything that can be known before a model loads; all failures at once."""

import logging
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from harness.accuracy import Suite, judges
from harness.checkpoints import calibration as calibration_file
from harness.checkpoints import gguf, hub, recipes, source
from harness.checkpoints.named_repositories import repository_problems
from harness.checkpoints.prepare import Workshop
from harness.config.deployments import accuracy_of
from harness.config.schema import Config
from harness.engines import Engine, environment
from harness.engines.credentials import argument_problems, key_problems, url_problems
from harness.engines.kernels import wants_sparsity_config
from harness.engines.parallel import gpus_of
from harness.engines.urls import proxy_of
from harness.errors import ConfigError
from harness.gemm import GEMM
from harness.gemm.cells import gemm_problems
from harness.load import load_points
from harness.load.traffic.requests import longest_request
from harness.machine import host, scratch
from harness.redaction.masking import mask
from harness.sweeps import capabilities
from harness.sweeps.plan import JUDGE, Plan, Session
from harness.sweeps.session_gpus import gpu_problems
from harness.sweeps.unsupported import engine_fits, unmet
from harness.text.corpora import is_on_hub, load_corpus
from harness.text.hub_text import parse

log = logging.getLogger(__name__)


def problems(config: Config, plan: Plan, engine: Engine, suites: dict[str, Suite], workshop: Workshop) -> list[str]:
    """What this machine lacks for the cells that are still to be measured; empty when it can start."""
    found = engine.problems() + _arguments(config)
    served = {s.variant: s.served for s in plan.sessions if _served_here(s, config)}
    found += engine.deployment_problems(list(served.values()))
    if engine.loads_weights:
        found += _hardware(config) + gpu_problems(config, engine, plan)
        for name in sorted({cell.variant for cell in plan.cells}):
            found += [] if accuracy_of(config.variants[name]) else _needs(config, name)  # said once
            found += _gpus(config, name)
        found += [problem for session in plan.sessions for problem in _heads(session, workshop)]
    found += _checkpoints(config, plan, engine, workshop)
    for suite in suites.values():
        found += _suite(suite, config.data.root)
    found += gemm_problems(config, engine, workshop)
    found += _judge(config, plan, engine, workshop)
    found += capabilities.problems(config, engine, suites)
    found += _proxies(plan, engine)
    found += _texts(config)
    found += _lengths(config, suites)
    found += _disk(config, engine) + scratch.problems()
    return list(dict.fromkeys(map(mask, found)))


def _arguments(config: Config) -> list[str]:
    """Secrets among the arguments of a server: every user of the machine sees these."""
    instead = "remove it: the server listens on 127.0.0.1 alone; export a token for the hub as HF_TOKEN"
    found = argument_problems("engine.args", config.engine.args, instead)
    for name, variant in config.variants.items():
        found += argument_problems(f"variants.{name}.engine_args", variant.engine_args, instead)
    return found + argument_problems("judge.engine_args", config.judge.engine_args if config.judge else (), instead)


def _suite(suite: Suite, data_root: str | None) -> list[str]:
    """One line for each problem, whatever its data holds; the traceback is logged at DEBUG."""
    try:
        return suite.problems(data_root)
    except Exception as error:
        log.debug("suite %s", suite.name, exc_info=True)
        return [f"suite {suite.name}: its data cannot be read ({type(error).__name__}: {error})"]


def _proxies(plan: Plan, engine: Engine) -> list[str]:
    """The load client opens its connections itself: through a proxy it would time the proxy."""
    loaded = [session for session in plan.sessions if any(cell.kind == "load" for cell in session.cells)]
    urls = dict.fromkeys(filter(None, (_address(engine, session) for session in loaded)))
    return [
        f"the environment sends requests to {host} through a proxy, and scenarios are measured on direct connections: "
        f"export no_proxy={host} if it can be reached directly, or leave the scenarios out with scenario=[]"
        for host in dict.fromkeys(urlsplit(url).hostname for url in urls if proxy_of(url))
    ]


def _address(engine: Engine, session: Session) -> str | None:
    target = engine.target(session.served.name)
    return target and target.base_url


def _texts(config: Config) -> list[str]:
    """Scenario text that is on this machine is read; a dataset on the hub is looked for."""
    found = []
    for name, scenario in config.scenarios.items():
        try:
            if is_on_hub(scenario.text):
                asked = parse(scenario.text)
                lacking = hub.missing_dataset(asked.dataset, asked.revision)
                found += [f"scenarios.{name}.text: {lacking}, or name a local file"] if lacking else []
            else:
                load_corpus(scenario.text)
        except ConfigError as error:
            found.append(f"scenarios.{name}.text: {error}")
    return found


def _served_here(session: Session, config: Config) -> bool:
    """By the sweep's engine: no products, which have no server, and no judge at an endpoint."""
    return session.variant != GEMM and (session.variant != JUDGE or bool(config.judge.model))


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


def _heads(session: Session, workshop: Workshop) -> list[str]:
    """Each GPU takes whole attention heads, where config.json is at hand to count them."""
    degree = session.served.axes.tensor_parallel or 1
    config = workshop.model_config(session.checkpoint) if degree > 1 else None
    heads = ((config or {}).get("text_config") or config or {}).get("num_attention_heads")
    if not heads or heads % degree == 0:
        return []
    fits = [n for n in range(1, heads + 1) if heads % n == 0]
    return [
        f"variant {session.variant}: tensor_parallel {degree} does not divide the model's {heads} attention heads; "
        f"it can be {', '.join(map(str, fits))}"
    ]


def _needs(config: Config, name: str) -> list[str]:
    need, engine = config.variants[name].needs.engine, config.engine
    if need and engine_fits(need, engine.kind, engine.version) is None:
        return [f"variants.{name}.needs.engine: cannot read {need!r}; write it like 'vllm<0.19'"]
    reason = unmet(config, name)
    return [f"variant {name} {reason}"] if reason else []


def _checkpoints(config: Config, plan: Plan, engine: Engine, workshop: Workshop) -> list[str]:
    served = [session for session in plan.sessions if session.variant != GEMM]  # whose weights are random
    found = list(source(config.model).problems()) if served else []  # its tokenizer cuts every prompt
    if not engine.loads_weights:
        return found
    served = [session for session in served if session.checkpoint]  # a judge may be an endpoint
    for session in served:
        lacking = source(session.checkpoint).problems()
        if engine.weights == gguf.FORM:
            lacking += gguf.problems(session.checkpoint, session.recipe, session.variant, engine.label)
        else:
            lacking += _recipe(config, session, workshop)
            if not workshop.is_made(session.checkpoint, session.recipe):
                lacking += _calibration(session)
        lacking += repository_problems((*config.engine.args, *session.served.args), engine.model_flags)
        lacking += [] if lacking else _contents(config, session, workshop)
        lacking += [] if lacking else _readable(config, engine, session, workshop)
        found += lacking
    read = [session for session in plan.sessions if session.checkpoint]
    making = not all(workshop.is_made(session.checkpoint, session.recipe) for session in read)
    return found + (environment.problems(config.compression) if making else [])


def _recipe(config: Config, session: Session, workshop: Workshop) -> list[str]:
    """Mistakes of the recipe, and where it does not fit the model or the engine."""
    recipe, name = session.recipe, session.variant
    variant = config.variants.get(name)  # a judge has none
    found = recipes.ignore_problems(name, variant.recipe.ignore) if variant and variant.recipe else []
    if recipe is None:
        return found
    found += recipes.problems(name, recipe, variant.scheme.activations)
    stated, made = variant.scheme.weights.group_size, recipes.group_size(recipe)
    if made and stated and made != stated:
        found.append(f"variants.{name}: its recipe makes groups of {made}, its scheme.weights.group_size is {stated}")
    if (recipe.get("sparsity") or {}).get("write_config") and not wants_sparsity_config(config.engine):
        served_by = f"{config.engine.kind} {config.engine.version or ''}".strip()
        found.append(
            f"variants.{name}.recipe.sparsity.write_config=true: {served_by} has no 2:4 kernels and refuses a "
            "checkpoint with sparsity_config; leave it null"
        )
    if not found and (wrong := recipes.misfit(recipe, workshop.model_config(session.checkpoint))):
        found.append(f"variant {name}: {wrong}: set variants.{name}.scheme.weights.group_size")
    return found


def _calibration(session: Session) -> list[str]:
    calibration = (session.recipe or {}).get("calibration")
    if not calibration:
        return []
    if file := calibration.get("file"):
        return calibration_file.problems(file, calibration.get("samples") or 1)
    lacking = hub.missing_dataset(calibration["dataset"], calibration.get("revision"))
    instead = "set calibration.file to JSON lines with `messages`, as scenarios/corpus/chat.jsonl"
    return [f"calibration: {lacking}, or {instead}"] if lacking else []


def _contents(config: Config, session: Session, workshop: Workshop) -> list[str]:
    """What a checkpoint that lies here holds, against what it and its variant claim."""
    if not workshop.is_made(session.checkpoint, session.recipe):
        return []  # looked at as soon as it is made
    location = workshop.location(session.checkpoint, session.recipe)
    if not Path(location).exists():
        return []  # on the hub: looked at before its engine starts
    from harness.checkpoints.inspection.gate import refusals

    return refusals(location, session.variant, config.variants.get(session.variant))


def _readable(config: Config, engine: Engine, session: Session, workshop: Workshop) -> list[str]:
    """What this version of the engine cannot read; of a checkpoint that is made first, looked at once it is made."""
    if engine.release is None or not workshop.is_made(session.checkpoint, session.recipe):
        return []
    from harness.checkpoints.inspection.gate import unreadable

    location = workshop.location(session.checkpoint, session.recipe)
    revision = source(session.checkpoint).commit if session.recipe is None else None
    return unreadable(location, revision, session.variant, engine.release, (*config.engine.args, *session.served.args))


def _judge(config: Config, plan: Plan, engine: Engine, workshop: Workshop) -> list[str]:
    if not config.judge:
        return []
    references = [config.model, *(variant.checkpoint for variant in config.variants.values())]
    references += [reference for variant in config.variants.values() for reference in variant.checkpoints.values()]
    references += [variant.load_checkpoint for variant in config.variants.values()]
    made = [s for s in plan.sessions if s.variant != JUDGE and s.checkpoint and engine.loads_weights]
    locations = [workshop.location(session.checkpoint, session.recipe) for session in made]
    targets = {name: target for name in config.variants if (target := engine.target(name))}
    if wrong := url_problems("judge.base_url", config.judge.base_url):
        return wrong + judges.settings_problems(config.judge)
    found = key_problems("judge.api_key_env", config.judge.api_key_env, False) if config.judge.base_url else []
    found += judges.settings_problems(config.judge)
    return found + judges.identity_problems(
        config.judge, list(dict.fromkeys(filter(None, references))), locations, targets, workshop.digests
    )


def _lengths(config: Config, suites: dict[str, Suite]) -> list[str]:
    """The longest request of every scenario, spreads, turns and traces included, against the engine's context."""
    limit = config.engine.max_model_len
    if not limit:
        return []
    found = []
    for name, suite in suites.items():
        longest = suite.longest_request()
        if longest > limit:
            found.append(
                f"suite {name} needs {longest} tokens; engine.max_model_len is {limit}: set suites.{name}.window"
            )
    for name, scenario in config.scenarios.items():
        points = load_points(config.load, scenario)
        longest = max((longest_request(name, scenario, p, config.load, config.seed) for p in points), default=0)
        if longest > limit:
            found.append(f"scenario {name} needs {longest} tokens; engine.max_model_len is {limit}")
    return found


def _disk(config: Config, engine: Engine) -> list[str]:
    found = []
    for setting in ("results_dir", "cache_dir"):
        path = Path(getattr(config, setting)).expanduser().resolve()
        existing = next(parent for parent in (path, *path.parents) if parent.exists())
        free_gb = shutil.disk_usage(existing).free / 1e9
        weights = setting == "cache_dir" and engine.loads_weights
        wanted = config.hardware.min_free_disk_gb if weights else 0.5
        if free_gb < wanted:
            found.append(f"{setting} {path}: {free_gb:.1f} GB free, {wanted:g} GB wanted; free some or set {setting}=")
    return found

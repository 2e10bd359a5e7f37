"""What a sweep's recommendation rests on (`decision`), checked before anything runs."""

from omegaconf import DictConfig

from harness.accuracy import JudgedSuite, suite_class
from harness.config.schema import OBJECTIVES, Config, Decision
from harness.errors import ConfigError, did_you_mean


def rename_margin(composed: DictConfig) -> None:
    """Move `margin`, the former name, to `decision.margin`. Raises ConfigError where both are set and differ."""
    given = composed.margin
    if given is None:
        return
    if composed.decision.margin not in (Decision.margin, given):
        raise ConfigError(
            f"margin={given} and decision.margin={composed.decision.margin}: margin is the former name of "
            "decision.margin; set decision.margin alone"
        )
    composed.decision.margin, composed.margin = given, None


def check_decision(config: Config, known: list[str]) -> None:
    """`known`: suites of conf/suite, which a sweep may name while the command line has left them out."""
    decision, fidelity = config.decision, config.decision.fidelity
    if not 0 <= decision.margin < 1:
        raise ConfigError(f"decision.margin={decision.margin} is a share of the baseline's score: at least 0, below 1")
    if fidelity.perplexity_ratio is not None and fidelity.perplexity_ratio <= 1:
        raise ConfigError(
            f"decision.fidelity.perplexity_ratio={fidelity.perplexity_ratio:g} must be above 1; 1.02 allows 2 % more"
        )
    if fidelity.kl_nats is not None and fidelity.kl_nats <= 0:
        raise ConfigError(f"decision.fidelity.kl_nats={fidelity.kl_nats:g} must be above 0, like 0.05")
    texts = [name for name, suite in config.suites.items() if not suite_class(suite.kind).per_item]
    limits = [name for name, limit in vars(fidelity).items() if limit is not None]
    _check_suites(config, known, texts)
    if decision.suites == [] and not limits and config.suites:
        raise ConfigError(
            "decision.suites=[] and no limit in decision.fidelity: nothing decides; "
            "set decision.fidelity.perplexity_ratio, or name a suite"
        )
    _check_objective(config)


def _check_suites(config: Config, known: list[str], texts: list[str]) -> None:
    for name in config.decision.suites or ():
        if name in texts:
            raise ConfigError(
                f"decision.suites: {name} scores a text, not items; limit it with decision.fidelity.perplexity_ratio"
            )
        if name not in (*config.suites, *known):
            names = sorted({*config.suites, *known})
            raise ConfigError(f"decision.suites: no suite {name!r}{did_you_mean(name, names)}")
    own = [name for name in config.decision.suites or () if name in config.suites]
    judged = [name for name in own if issubclass(suite_class(config.suites[name].kind), JudgedSuite)]
    if judged and judged == config.decision.suites and not any(vars(config.decision.fidelity).values()):
        raise ConfigError(
            f"decision.suites=[{','.join(judged)}]: a win rate can rule a variant out, it cannot establish one; "
            "name a suite scored item by item too, or set decision.fidelity.perplexity_ratio"
        )


def _check_objective(config: Config) -> None:
    given = config.decision.objective
    objectives = [given] if isinstance(given, str) else given
    if not isinstance(objectives, list) or not objectives:
        raise ConfigError(f"decision.objective={given!r}: one or a list of {', '.join(OBJECTIVES)}")
    for name in objectives:
        if name not in OBJECTIVES:
            raise ConfigError(f"decision.objective: no {name!r}{did_you_mean(str(name), list(OBJECTIVES))}")
    if len(set(objectives)) < len(objectives):
        raise ConfigError(f"decision.objective={objectives}: name each objective once")
    if "cost" in objectives and config.report.price.per_gpu_hour is None:
        raise ConfigError("decision.objective has cost and there is no price; set report.price.per_gpu_hour")

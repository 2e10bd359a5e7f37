"""What the sessions and cells of a judge ask of the sweep's settings. `compose` has checked that they are there."""

from harness.config.schema import Config, Judge
from harness.errors import ConfigError


def judge_of(config: Config) -> Judge:
    """Raise ConfigError where the sweep has none."""
    if config.judge is None:
        raise ConfigError("no judge: set judge.model or judge.base_url")
    return config.judge


def served_model(judge: Judge) -> str:
    """Return the checkpoint that is served as the judge. Raise ConfigError where none is named."""
    if judge.model is None:
        raise ConfigError("judge: set judge.model (a checkpoint to serve)")
    return judge.model


def endpoint(judge: Judge) -> tuple[str, str]:
    """Return URL and model of a judge at an endpoint. Raise ConfigError where one of them is not named."""
    if judge.base_url is None or judge.endpoint_model is None:
        raise ConfigError("judge: set judge.base_url (an endpoint) and judge.endpoint_model (the model that judges)")
    return judge.base_url, judge.endpoint_model

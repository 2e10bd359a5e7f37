"""What is wrong with the judge of a plan; a model under test never judges itself."""

from harness.accuracy import JudgedSuite, judges
from harness.engines.credentials import key_problems, url_problems
from harness.sweeps.plan import Plan
from harness.sweeps.prepare import Prepared
from harness.sweeps.session import JUDGE


def problems(prepared: Prepared, plan: Plan) -> list[str]:
    config, engine, workshop = prepared.config, prepared.engine, prepared.workshop
    if not config.judge:
        return []
    references = [config.model, *(variant.checkpoint for variant in config.variants.values())]
    references += [reference for variant in config.variants.values() for reference in variant.checkpoints.values()]
    references += [variant.load_checkpoint for variant in config.variants.values()]
    made = [s for s in plan.sessions if s.kind != JUDGE and s.checkpoint and engine.loads_weights]
    locations = [workshop.location(session.checkpoint, session.recipe) for session in made]
    targets = {name: target for name in config.variants if (target := engine.target(name))}
    if wrong := url_problems("judge.base_url", config.judge.base_url):
        return wrong + judges.settings_problems(config.judge)
    found = key_problems("judge.api_key_env", config.judge.api_key_env, False) if config.judge.base_url else []
    found += judges.settings_problems(config.judge)
    return found + judges.identity_problems(
        config.judge, list(dict.fromkeys(filter(None, references))), locations, targets, workshop.digests
    )


def unjudged(prepared: Prepared) -> list[str]:
    """Return a line for each suite whose answers no judge compares."""
    return [
        f"suite {name}: no judge is set, so its answers are compared for agreement only; "
        "judge.model or judge.base_url adds the win rate"
        for name, suite in prepared.suites.items()
        if isinstance(suite, JudgedSuite) and name not in prepared.judged
    ]

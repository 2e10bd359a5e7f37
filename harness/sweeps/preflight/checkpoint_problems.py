"""What is wrong with the checkpoints of a plan: they cannot be had, made, or read by the engine that serves them."""

from pathlib import Path

from harness.checkpoints import calibration as calibration_file
from harness.checkpoints import gguf, hub, recipes, source
from harness.checkpoints.named_repositories import code_problems, code_words, repository_problems
from harness.checkpoints.prepare import Workshop
from harness.checkpoints.quantized import quantization_of
from harness.config.schema import Config
from harness.engines import Engine, environment
from harness.engines.kernels import wants_sparsity_config
from harness.sweeps.plan import Plan
from harness.sweeps.prepare import Prepared
from harness.sweeps.session import Session


def problems(prepared: Prepared, plan: Plan) -> list[str]:
    config, engine, workshop = prepared.config, prepared.engine, prepared.workshop
    served = [session for session in plan.sessions if session.served]
    found = list(source(config.model).problems()) if served else []  # its tokenizer cuts every prompt
    if not engine.loads_weights:
        meant = engine.meaning_of_model
        return [f"model={config.model}: {problem}; {meant}" for problem in found] if meant else found
    found = [problem for session in served for problem in _heads(session, workshop)] + found
    for session in served:
        lacking = source(session.checkpoint).problems()
        if engine.weights == gguf.FORM:
            lacking += gguf.problems(session.checkpoint, session.recipe, session.label, engine.label)
        else:
            lacking += _recipe(config, session, workshop)
            if not workshop.is_made(session.checkpoint, session.recipe):
                lacking += _calibration(session)
        args = (*engine.args, *session.args)
        lacking += repository_problems(args, engine.model_flags) + code_problems(
            session.checkpoint, args, engine.code_flag
        )
        lacking += [] if lacking else _contents(config, session, workshop)
        lacking += [] if lacking else _readable(config, engine, session, workshop)
        found += lacking
    read = [session for session in plan.sessions if session.checkpoint]
    making = not all(workshop.is_made(session.checkpoint, session.recipe) for session in read)
    return found + (environment.problems(config.compression) if making else [])


def unfingerprinted_code(session: Session, engine: Engine) -> str | None:
    """One line where code that the checkpoint names is not part of the fingerprints; None where there is none."""
    if session.served is None or not engine.loads_weights:
        return None
    return code_words(session.checkpoint, (*engine.args, *session.args), engine.code_flag)


def _recipe(config: Config, session: Session, workshop: Workshop) -> list[str]:
    """Mistakes of the recipe, and where it does not fit the model or the engine."""
    recipe, name = session.recipe, session.label
    variant = config.variants[session.variant] if session.variant else None
    found = recipes.ignore_problems(name, variant.recipe.ignore) if variant and variant.recipe else []
    if recipe is None or variant is None:
        return found
    if method := quantization_of(session.checkpoint):
        where = f"variants.{name}.recipe"
        return [
            f"{where}: checkpoint {session.checkpoint} is already quantized ({method}); set recipe: null "
            f"({where}=null) to serve it as it is, or name a dense checkpoint"
        ]
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

    variant = config.variants[session.variant] if session.variant else None
    return refusals(location, session.label, variant)


def _readable(config: Config, engine: Engine, session: Session, workshop: Workshop) -> list[str]:
    """What this version of the engine cannot read; of a checkpoint that is made first, looked at once it is made."""
    if engine.release is None or not workshop.is_made(session.checkpoint, session.recipe):
        return []
    from harness.checkpoints.inspection.gate import unreadable

    location = workshop.location(session.checkpoint, session.recipe)
    revision = source(session.checkpoint).commit if session.recipe is None else None
    return unreadable(location, revision, session.label, engine.release, (*config.engine.args, *session.args))


def _heads(session: Session, workshop: Workshop) -> list[str]:
    """Each GPU takes whole attention heads, where config.json is at hand to count them."""
    degree = (session.served.axes.tensor_parallel if session.served else None) or 1
    config = workshop.model_config(session.checkpoint) if degree > 1 else None
    heads = config.decoder.num_attention_heads if config else None
    if not heads or heads % degree == 0:
        return []
    fits = [n for n in range(1, heads + 1) if heads % n == 0]
    return [
        f"variant {session.label}: tensor_parallel {degree} does not divide the model's {heads} attention heads; "
        f"it can be {', '.join(map(str, fits))}"
    ]

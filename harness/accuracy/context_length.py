"""The context length of a served model."""

from harness.engines import Server
from harness.engines.model_list import read_models
from harness.errors import EngineError


def served_context_length(server: Server) -> int | None:
    """vLLM and SGLang tell it at /v1/models, of llama.cpp the engine knows it; None where nobody does."""
    if known := server.facts.max_model_len:
        return known
    try:
        entries = read_models(server) or []
    except EngineError:
        return None
    return next((entry.max_model_len for entry in entries if entry.name == server.model), None)

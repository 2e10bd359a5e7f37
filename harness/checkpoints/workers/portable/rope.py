"""Write the rotary embedding of a config.json in the fields of transformers 4.

transformers 5 writes one object, `rope_parameters`. transformers 4 does not read it: it takes `rope_theta`,
`rope_scaling` and `partial_rotary_factor`, and its default where one is absent, so that the model answers with another
rotary base and without an error. transformers 5 reads both forms.
"""

from typing import Any

THETA, PARTIAL, SCALING, PARAMETERS = "rope_theta", "partial_rotary_factor", "rope_scaling", "rope_parameters"
ORIGINAL = "original_max_position_embeddings"
# Models with one RoPE per layer type in transformers 5, and the transformers 4 field for the base of sliding layers;
# None: it is that of the full layers.
LOCAL_THETA = {
    **dict.fromkeys(("gemma3", "gemma3_text", "gemma3n", "gemma3n_text"), "rope_local_base_freq"),
    "olmo3": None,
}
OWN_NAMES = {  # transformers 4 classes with names of their own for the base and the rotated share
    "gpt_neox": {THETA: "rotary_emb_base", PARTIAL: "rotary_pct"},
    "gpt_neox_japanese": {THETA: "rotary_emb_base", PARTIAL: "rotary_pct"},
}
THREE_FIELDS = ("phi3", "phi4_multimodal")  # their transformers 4 classes take `type` and the two factors, no more


def is_nested(parameters: dict[str, Any]) -> bool:
    """One RoPE per layer type: {"full_attention": {...}, "sliding_attention": {...}}."""
    return bool(parameters) and all(isinstance(value, dict) for value in parameters.values())


def legacy_fields(config: dict[str, Any]) -> dict[str, Any] | None:
    """Return the transformers 4 fields for `config["rope_parameters"]`; None where they cannot express it."""
    parameters, model = config.get(PARAMETERS), str(config.get("model_type", ""))
    if not isinstance(parameters, dict) or not parameters:
        return {}
    if not is_nested(parameters):
        return _fields(parameters, model)
    if model not in LOCAL_THETA or set(parameters) != {"full_attention", "sliding_attention"}:
        return None
    full, local = (_fields(parameters[kind], model) for kind in ("full_attention", "sliding_attention"))
    name, base = LOCAL_THETA[model], local.get(THETA)
    if set(local) - {THETA} or (name is None and base != full.get(THETA)):
        return None
    full.setdefault(SCALING, {"rope_type": "default"})  # without it vLLM reads the nested object as a flat one
    return full if name is None or base is None else {**full, name: base}


def _fields(parameters: dict[str, Any], model: str) -> dict[str, Any]:
    rest = {key: value for key, value in parameters.items() if value is not None}
    found = {key: rest.pop(key) for key in (THETA, PARTIAL) if key in rest}
    found |= {name: found[key] for key, name in OWN_NAMES.get(model, {}).items() if key in found}
    kind = rest.pop("rope_type", None) or rest.get("type", "default")
    rest.pop("type", None)
    if kind == "longrope" and ORIGINAL in rest:
        found[ORIGINAL] = rest[ORIGINAL]  # transformers 4 looks for it beside rope_scaling
    if kind == "longrope" and model in THREE_FIELDS:
        found[SCALING] = {"type": kind, **{key: rest[key] for key in ("short_factor", "long_factor") if key in rest}}
    elif kind != "default" or rest:  # also what comes with a default RoPE, like mrope_section
        found[SCALING] = {"rope_type": kind, **rest}
    return found


def both_forms(config: dict[str, Any]) -> dict[str, Any]:
    """Return `config` with the transformers 4 fields beside `rope_parameters`, nested model configurations included."""
    written = {key: both_forms(value) if isinstance(value, dict) else value for key, value in config.items()}
    return {**written, **(legacy_fields(config) or {})}

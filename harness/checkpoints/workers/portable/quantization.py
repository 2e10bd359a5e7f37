"""compressed-tensors' quantization_config in the form that its older releases read too.

`QuantizationArgs` forbids keys that it does not know, and releases before 0.17 (vLLM up to 0.22) refuse `actorder`
where the strategy is not group. A key is changed only where the meaning stays the same: null keys are dropped, and
`actorder: weight` is the order in which GPTQ processed the columns, which the stored weights do not depend on. A value
that an older release cannot express is kept: preflight refuses an engine of such a release
(harness/checkpoints/compatibility).
"""

from typing import Any

# Keys of QuantizationArgs in compressed-tensors 0.12, the oldest release whose engines are known here.
ARGUMENTS = {
    *("num_bits", "type", "symmetric", "group_size", "strategy", "block_structure", "dynamic", "actorder"),
    *("observer", "observer_kwargs"),
}
SCHEME = ("weights", "input_activations", "output_activations")
BY_WEIGHT = ("weight", "static", False)  # `actorder` values that change the calibration and not the format


def strategy_of(arguments: dict[str, Any]) -> str:
    """Return the strategy, inferred as compressed-tensors does where absent; "unknown" for a non-numeric group size."""
    if arguments.get("strategy"):
        return str(arguments["strategy"]).lower()
    size = arguments.get("group_size")
    try:
        return "tensor" if size is None else "group" if float(size) > 0 else "channel"
    except (TypeError, ValueError):
        return "unknown"


def readable(quantization: dict[str, Any]) -> dict[str, Any]:
    """Return `quantization` without the keys that carry no information and that older releases refuse."""
    if quantization.get("quant_method", "compressed-tensors") != "compressed-tensors":
        return quantization
    given = quantization.get("config_groups") or {}
    if not isinstance(given, dict):
        return quantization
    groups = {
        name: {key: _arguments(value) if key in SCHEME else value for key, value in group.items()}
        if isinstance(group, dict)
        else group  # the name of a preset, with its targets
        for name, group in given.items()
    }
    found = {**quantization, "config_groups": groups}
    if quantization.get("kv_cache_scheme"):
        found["kv_cache_scheme"] = _arguments(quantization["kv_cache_scheme"])
    return found


def _arguments(arguments: Any) -> Any:
    if not isinstance(arguments, dict):
        return arguments
    found = {key: value for key, value in arguments.items() if key in ARGUMENTS or value is not None}
    actorder = found.get("actorder")
    by_weight = actorder is False or (isinstance(actorder, str) and actorder.lower() in BY_WEIGHT)
    if by_weight and strategy_of(found) != "group":
        found["actorder"] = None
    return found

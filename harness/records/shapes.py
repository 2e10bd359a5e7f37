"""Check that a JSON value has the form that its reader relies on.

A shape is a type; NUMBER; `Maybe(shape)`: absent or null too; `[shape]`: a list of it; `{str: shape}`: an object with
any keys; `{"key": shape, ...}`: an object with these keys, others are not looked at; a tuple of shapes: one of them.
"""

import math
from dataclasses import dataclass
from typing import Any

Shape = Any
NUMBER = object()  # finite, no boolean


@dataclass(frozen=True)
class Maybe:
    shape: Shape


def mismatch(value: Any, shape: Shape, where: str = "") -> str | None:
    """Return what differs from the shape first: ``result.scores is a list``. None if nothing does."""
    if isinstance(shape, Maybe):
        return None if value is None else mismatch(value, shape.shape, where)
    if shape is NUMBER:
        fits = type(value) is int or (type(value) is float and math.isfinite(value))
        return None if fits else f"{where} is {said(value)}, not a finite number"
    if isinstance(shape, type):
        fits = type(value) is shape if shape is int else isinstance(value, shape)
        return None if fits else f"{where} is {said(value)}"
    if isinstance(shape, tuple):
        found = [mismatch(value, one, where) for one in shape]
        return None if None in found else found[0]
    if isinstance(shape, list):
        return _items(value, shape[0], where)
    if not isinstance(value, dict):
        return f"{where} is {said(value)}"
    if str in shape:
        pairs = ((key, item, shape[str]) for key, item in value.items())
    else:
        pairs = ((key, value.get(key), inner) for key, inner in shape.items())
    for key, item, inner in pairs:
        if wrong := mismatch(item, inner, f"{where}.{key}" if where else key):
            return wrong
    return None


def _items(value: Any, shape: Shape, where: str) -> str | None:
    if not isinstance(value, list | tuple):  # a tuple before it is written
        return f"{where} is {said(value)}"
    if shape is NUMBER and set(map(type, value)) <= {int, float}:  # token times: most of what a store holds
        return None if math.isfinite(sum(value)) else f"{where} has a number that is not finite"
    for position, item in enumerate(value):
        if wrong := mismatch(item, shape, f"{where}[{position}]"):
            return wrong
    return None


def said(value: Any) -> str:
    """The value for a message: short, on one line, in ASCII."""
    if value is None:
        return "missing"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:40]}..."

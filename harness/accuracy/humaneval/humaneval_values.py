"""Values on their way out of the sandbox: written inside, by the process that ran the code; read outside.

As JSON: [is of a builtin type, value] with tagged containers. Where values are compared exactly, as a digest of an
encoding that is the same for equal values (1 == 1.0 == True): HumanEval+ has outputs of 100 MB. Reading runs no code.
Imports no harness: the worker takes this file with it.
"""

import decimal
import fractions
import hashlib
import json
import marshal
import os
from typing import Any

PLAIN = (type(None), bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict)
TAGS = ((tuple, "tuple"), (list, "list"), ((set, frozenset), "set"), (dict, "dict"))
MARSHAL = 2  # binary floats, and no marks that depend on how often an object is used
WRITE = os.write  # evalplus's guard takes functions out of os


class Witness:
    """Equal to everything, and writes down what."""

    __array_ufunc__ = None  # numpy's arrays would compare their elements one by one
    __hash__ = None

    def __init__(self, notes: int, exact: bool):
        self._notes, self._exact = notes, exact

    def __eq__(self, value):
        line = line_of(value, self._exact).encode() + b"\n"
        while line:
            line = line[WRITE(self._notes, line) :]
        return True


def line_of(value: Any, exact: bool) -> str:
    """Where it cannot be written, and so is equal to no builtin value: a line that no other is equal to."""
    try:
        return digest(value) if exact else written(value)
    except Exception:
        return json.dumps([False, ["nothing", os.urandom(8).hex()]])


def chained(digests: list[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def digest(value: Any) -> str:
    return hashlib.blake2b(marshal.dumps(_normal(value), MARSHAL), digest_size=16).hexdigest()


def _normal(value: Any) -> Any:
    """Values that are equal in Python become the same marshal text; TypeError for what is equal to no builtin."""
    kind = type(value)
    if kind in (int, str, bytes, type(None)):
        return value
    if kind is list or kind is tuple:
        kinds = set(map(type, value))
        if kinds <= {int, str}:
            return value
        if kinds <= {int, float}:  # most of the 100 MB
            return kind([n if type(n) is int or not n.is_integer() else int(n) for n in value])
        return kind([_normal(element) for element in value])
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float | decimal.Decimal | fractions.Fraction):
        if value == value and abs(value) != float("inf") and int(value) == value:
            return int(value)
        if float(value) == value:
            return float(value)
    if isinstance(value, complex):
        return _normal(value.real) if value.imag == 0 else complex(value)
    for base in (str, bytes):
        if isinstance(value, base):
            return base(value)
    for base in (list, tuple):
        if isinstance(value, base):
            return base(map(_normal, value))
    if isinstance(value, set | frozenset):
        return {"set": sorted(marshal.dumps(_normal(element), MARSHAL) for element in value)}
    if isinstance(value, dict):
        return {"dict": sorted(tuple(marshal.dumps(_normal(part), MARSHAL) for part in pair) for pair in value.items())}
    if (scalar := _scalar(value)) is not value:
        return _normal(scalar)
    raise TypeError(kind)


def written(value: Any) -> str:
    return json.dumps([type(value) in PLAIN, _tagged(value)])


def _tagged(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    for kinds, tag in TAGS:
        if isinstance(value, kinds):
            elements = [part for pair in value.items() for part in pair] if tag == "dict" else value
            return [tag, *map(_tagged, elements)]
    if isinstance(value, complex):
        return ["complex", value.real, value.imag]
    if isinstance(value, decimal.Decimal | fractions.Fraction):
        return ["ratio", *value.as_integer_ratio()]
    if (scalar := _scalar(value)) is not value:
        return _tagged(scalar)
    raise TypeError(type(value))


def _scalar(value: Any) -> Any:
    """numpy's scalars as Python's."""
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return value.item()
    return value


def read(line: str) -> tuple[bool, Any]:
    """What `line_of` wrote, where not exact. Whatever it raises, the line was written by someone else."""
    builtin, value = json.loads(line)
    return builtin, _value(value)


def _value(tagged: Any) -> Any:
    if not isinstance(tagged, list):
        return tagged
    tag, *rest = tagged
    if tag == "nothing":
        return object()
    elements = list(map(_value, rest))
    if tag == "dict":
        return dict(zip(elements[::2], elements[1::2], strict=True))
    if tag == "ratio":
        return fractions.Fraction(*elements)
    return {"list": list, "tuple": tuple, "set": set, "complex": lambda parts: complex(*parts)}[tag](elements)

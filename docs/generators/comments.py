"""Comments of a dataclass's fields, as its source has them."""

import ast
import inspect
import io
import textwrap
import tokenize
from itertools import takewhile


def field_comments(kind: type) -> dict[str, str]:
    """The comment beside each field, with the comment lines directly before and after it.

    A line of comments between two fields continues the comment of the field above where that field has one, and is of
    the field below otherwise.
    """
    source = textwrap.dedent(inspect.getsource(kind))
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    lines = {
        node.target.id: (node.lineno, node.end_lineno or node.lineno)
        for node in body.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    comments = {
        token.start[0]: token.string.lstrip("# ").rstrip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    whole = {number for number in comments if source.splitlines()[number - 1].lstrip().startswith("#")}
    found = {}
    for name, (first, last) in lines.items():
        above = _run(whole, range(first - 1, 0, -1))[::-1]
        beside = [number for number in range(first, last + 1) if number in comments]
        below = _run(whole, range(last + 1, last + 99)) if beside else []
        whole -= {*above, *below}
        found[name] = " ".join(comments[number] for number in (*above, *beside, *below))
    return found


def _run(whole: set[int], numbers: range) -> list[int]:
    """The lines at the start of `numbers` that are nothing but comments."""
    return list(takewhile(whole.__contains__, numbers))

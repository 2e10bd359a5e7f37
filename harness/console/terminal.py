"""Rich's console for this project: text from outside has neither markup nor control characters."""

import sys
from typing import TYPE_CHECKING, Any

from harness.untrusted.visible import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def console(stream: Any = None, **options: Any) -> "Console":
    """Return a console on `stream`, by default standard output. Its own styles pass; strings in it are plain text."""
    from rich.console import Console

    class PlainText(Console):
        def render_str(self, text: str, **how: Any) -> "Text":
            return super().render_str(visible(text), **how)

    stream = sys.stdout if stream is None else stream
    return PlainText(file=getattr(stream, "styled", stream), markup=False, **options)

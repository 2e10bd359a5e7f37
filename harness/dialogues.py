"""Dialogues in the forms that data sets have them, as messages of the roles user, assistant and system.

    {"messages": [{"role", "content"}, ...]}        content: a text, or parts [{"type": "text", "text": ...}, ...]
    {"conversations": [{"from", "value"}, ...]}     ShareGPT

The compression worker runs this file in an environment without harness: the standard library alone.
"""

from typing import Any

FORMS = '{"messages": [{"role", "content"}, ...]} or {"conversations": [{"from", "value"}, ...]}'
ROLES = {"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant",
         "system": "system", "developer": "system"}  # fmt: skip

Messages = list[dict[str, Any]]


def messages_of(row: Any) -> Any:
    """Return a row's list of messages. Raises KeyError or TypeError for a row of another form."""
    return row["messages"] if "messages" in row else row["conversations"]


def dialogue(messages: Any, whole: bool = False) -> Messages:
    """Return user and assistant in turn from the start on, empty if there is none; templates refuse other orders.

    `whole`: with the system message at the start, and with a last question that has no answer. Otherwise system
    messages are left out: dialogues are joined, and templates refuse one in the middle.
    Raises KeyError or TypeError for messages of another form.
    """
    system: Messages = []
    turns: Messages = []
    for message in messages:
        name, said = (message["role"], message["content"]) if "role" in message else (message["from"], message["value"])
        role, content = ROLES.get(str(name)), text_of(said)
        if role == "system" and (not whole or not turns):
            system += [{"role": role, "content": content}] if content else []
            continue
        if role != ("assistant" if len(turns) % 2 else "user") or content is None:
            break
        turns.append({"role": role, "content": content})
    if not whole:
        return turns[: len(turns) // 2 * 2]
    if len(system) > 1:
        system = [{"role": "system", "content": "\n\n".join(message["content"] for message in system)}]
    return [*system, *turns] if turns else []


def text_of(content: Any) -> str | None:
    """Return a message's text, of parts all of which are text too; None for images and other content."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        return None
    parts = [part.get("text") if isinstance(part, dict) else None for part in content]
    return "".join(parts) if all(isinstance(part, str) for part in parts) else None

"""Secrets masked in JSON-able values: configurations, records and their rows."""

from typing import Any

from harness.redaction.masking import MASK, Masker, is_flag, is_secret_option, mask, mask_known, mask_urls, secret_name


def mask_data(value: Any, masker: Masker = mask) -> Any:
    """`masker` on every string of a JSON-able value; a value whose key or option says that it is secret is masked."""
    if isinstance(value, str):
        return masker(value)
    if isinstance(value, dict):
        return {_key(key): MASK if _is_secret(key, item) else mask_data(item, masker) for key, item in value.items()}
    if isinstance(value, list | tuple):
        if all(isinstance(item, float | int) or item is None for item in value):
            return value
        before = ["", *value]
        return [
            MASK if _is_secret_argument(word, item) else mask_data(item, masker)
            for word, item in zip(before, value, strict=False)
        ]
    return value


def _key(key: Any) -> Any:
    return mask_urls(key) if isinstance(key, str) else key


def _is_secret(key: Any, value: Any) -> bool:
    return isinstance(value, str) and not is_flag(value) and isinstance(key, str) and secret_name(key)


def _is_secret_argument(option: Any, value: Any) -> bool:
    if not isinstance(option, str) or not isinstance(value, str) or value.startswith("-") or is_flag(value):
        return False
    return is_secret_option(option)


def mask_row(row: dict[str, Any], text: str) -> dict[str, Any]:
    """A row of a record, `text` its JSON: what a model answered is kept unless it holds a known value."""
    if row.get("error"):
        row = {**row, "error": mask_data(row["error"])}
    return row if mask_known(text) == text else mask_data(row, mask_known)

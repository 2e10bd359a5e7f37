"""Numbers in words, the same in progress lines and in reports."""

NONE = "–"


def number(value: float | None) -> str:
    """Three significant digits, never fewer than the whole part: 0.0123, 1.23, 12.3, 123, 1,234."""
    if value is None:
        return NONE
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:#.3g}"


def between(low: float | None, high: float | None) -> str:
    """What is known of a value: ``6.09 to 12.3``, ``≥ 6.09``, ``≤ 12.3``; of one without bounds ``unknown``."""
    if low and high:
        return f"{number(low)} to {number(high)}"
    return f"≥ {number(low)}" if low else f"≤ {number(high)}" if high else "unknown"

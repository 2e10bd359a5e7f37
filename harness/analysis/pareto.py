"""Pareto fronts: which variants no other variant beats on both axes (more is better on either)."""


def dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """`a` is at least as good on both axes and better on one."""
    return a[0] >= b[0] and a[1] >= b[1] and a != b


def front(points: dict[str, tuple[float, float]]) -> list[str]:
    """Names that nothing dominates, by rising x. Equal points do not dominate each other."""
    best = [name for name, p in points.items() if not any(dominates(other, p) for other in points.values())]
    return sorted(best, key=lambda name: (*points[name], name))


def dominated(points: dict[str, tuple[float, float]]) -> dict[str, list[str]]:
    """Every dominated name with those that dominate it."""
    found = {name: [o for o, q in points.items() if dominates(q, p)] for name, p in points.items()}
    return {name: others for name, others in found.items() if others}

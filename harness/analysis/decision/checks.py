"""The checks of a sweep (`checks` of its configuration): each passes, fails, or cannot be made on this machine.

A check that the machine should support and that could not be evaluated fails: a proof never passes in silence. What the
hardware or the engine does not support is `unsupported`, with the reason; a simulated engine proves nothing, so there
every check is `not_checked`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from harness.analysis.findings import Findings
from harness.analysis.scalars import scalars
from harness.analysis.settings import MetricCheck
from harness.analysis.study import Measured
from harness.analysis.validity import simulated
from harness.records.cell import Cell
from harness.records.manifest import WHOLE_VARIANT

PASS, FAIL, UNSUPPORTED, NOT_CHECKED = "pass", "fail", "unsupported", "not_checked"
NO_SCHEME = "none"
# Flags of engine_flags.py: a layer did not run in the format that its variant names, or nothing tells.
NOT_AS_NAMED = (
    *("no_sparse_kernel", "kernel_unknown", "activations_unquantized", "activations_differ", "kv_cache_unquantized"),
    *("emulated_kernel", "fp32_compute"),
)
WATCHED_S = 1.0  # a load cell shorter than this may end between two samples
Verdict = tuple[str, str]  # (status, evidence)


@dataclass(frozen=True)
class CheckResult:
    """`check`: a metric of scalars.py, scheme, or a key of OF_EACH_VARIANT."""

    check: str
    variant: str
    label: str
    status: str
    evidence: str


def check_results(findings: Findings) -> tuple[CheckResult, ...]:
    """Check by check, and in each the variants in the sweep's order; empty for a sweep without checks."""
    study = findings.study
    found = [_result(findings, m.metric, m.variant, _metric(m)) for m in study.checks.metrics]
    found += [_result(findings, "scheme", name, _scheme(wanted)) for name, wanted in study.checks.schemes.items()]
    absent = [entry.variant for entry in study.left_out if entry.part == WHOLE_VARIANT]
    for check in study.checks.of_each_variant:
        found += [_result(findings, check, name, OF_EACH_VARIANT[check]) for name in (*study.variants, *absent)]
    return tuple(result for result in found if result)


def failed(results: tuple[CheckResult, ...]) -> bool:
    return any(result.status == FAIL for result in results)


def device(findings: Findings) -> str:
    """GPU | CPU: what the sweep's engine serves on."""
    return "CPU" if (findings.study.config.get("engine") or {}).get("device") == "cpu" else "GPU"


def _result(
    findings: Findings, check: str, variant: str, evaluate: Callable[[Findings, str], Verdict | None]
) -> CheckResult | None:
    """None where the check does not apply to the variant."""
    study = findings.study
    left_out = {entry.variant: entry for entry in study.left_out if entry.part in (WHOLE_VARIANT, check)}
    label = left_out[variant].label if variant in left_out else study.label(variant)
    verdict: Verdict | None
    if simulated(study):
        verdict = NOT_CHECKED, "a simulated engine answered"
    elif variant in left_out:
        verdict = UNSUPPORTED, left_out[variant].reason
    elif variant not in study.variants:
        verdict = NOT_CHECKED, "the variant is not part of this run"
    else:
        verdict = evaluate(findings, variant)
    return CheckResult(check, variant, label, *verdict) if verdict else None


def _metric(expected: MetricCheck) -> Callable[[Findings, str], Verdict]:
    def evaluate(findings: Findings, variant: str) -> Verdict:
        value = scalars(findings, variant).get(expected.metric)
        if value is None:
            subject = expected.metric.rpartition("/")[2]
            why = [error for cell, error in _failures(findings, variant) if cell.suite == subject]
            return FAIL, f"not measured{': ' + _first_line(why[0]) if why else ''}"
        off = value / expected.value - 1
        evidence = f"{value:.5g}, expected {expected.value:.5g} ({100 * off:+.2f} %, tolerance "
        evidence += f"{100 * expected.tolerance:g} %)"
        return PASS if abs(off) <= expected.tolerance else FAIL, evidence

    return evaluate


def _scheme(expected: str) -> Callable[[Findings, str], Verdict]:
    def evaluate(findings: Findings, variant: str) -> Verdict:
        """What the engine's log says that each layer ran."""
        if reason := findings.study.variants[variant].emulated:
            return UNSUPPORTED, reason
        measured = [m for m in _measured(findings, variant) if _serves(m.cell)]
        if not measured:
            return _unmeasured(findings, variant, _serves)
        wrong = {flag.message: None for m in measured for flag in m.flags if flag.code in NOT_AS_NAMED}
        told = list(dict.fromkeys(_told(m) for m in measured))
        if wrong or told != [_wanted(findings, expected)]:
            return FAIL, "; ".join([*wrong, f"{' / '.join(map(_words, told))}, expected {expected}"])
        by = ", ".join(dict.fromkeys(f"{k.kernel} for {k.layer}" for k in measured[0].engine.kernels))
        return PASS, f"{_words(told[0])}{': ' + by if by else ''}"

    return evaluate


def _told(measured: Measured) -> tuple[tuple[str, int | None], ...]:
    """((scheme, layers), ...) of the engine's log; ((NO_SCHEME, None),) where it says that nothing is quantized."""
    found = schemes(measured)
    if not found and measured.engine.quantization == NO_SCHEME:
        return ((NO_SCHEME, None),)
    return tuple(sorted(found.items()))


def _wanted(findings: Findings, expected: str) -> tuple[tuple[str, int | None], ...]:
    return ((expected, None if expected == NO_SCHEME else _linear_layers(findings)),)


def _words(told: tuple[tuple[str, int | None], ...]) -> str:
    said = [name if layers is None else f"{name} on {layers} layers" for name, layers in told]
    return ", ".join(said) or "the engine's log names no scheme"


def schemes(measured: Measured) -> dict[str, int]:
    """{scheme: layers} of the engine's log; empty where it names none."""
    return {name: logged.layers for name, logged in measured.engine.schemes.items()}


def _linear_layers(findings: Findings) -> int:
    """By the GEMM study's shapes; without one, the most that any variant's log names."""
    by_shape = sum(layer.count for layer in findings.gemm.layers.values()) if findings.gemm else 0
    return by_shape or max(sum(schemes(m).values()) for m in findings.study.measured)


def _gemm(findings: Findings, variant: str) -> Verdict | None:
    planned = [cell for cell in _planned(findings, variant) if cell.layer]
    if not planned:
        return None  # products of this scheme are not timed
    gemm = findings.gemm
    if gemm is None or any(cell.layer for cell, _ in _failures(findings, variant)):
        return _unmeasured(findings, variant, _is_product)
    products = [product for (name, _, _), product in gemm.products.items() if name == variant]
    wholes = gemm.wholes.get(variant, {})
    if wrong := [product for product in products if not product.valid]:
        first = wrong[0]
        return FAIL, f"{first.kernel} returned incorrect results: {first.layer} at batch size {first.batch}"
    if len(products) < len(planned) * len(gemm.batches):
        return FAIL, f"{len(products)} of {len(planned) * len(gemm.batches)} products were timed"
    worst = max(p.error / p.bound for p in products if p.error is not None)
    ratios = [whole.of_vendor for whole in wholes.values() if whole.of_vendor]
    against = f"{min(ratios):.2f} to {max(ratios):.2f}× the vendor library" if ratios else "no vendor kernel to compare"
    kernel = ", ".join(dict.fromkeys(p.kernel for p in products))
    return PASS, f"{kernel}: {len(products)} products, error at most {worst:.2f} of the bound; {against}"


def _telemetry(findings: Findings, variant: str) -> Verdict:
    if device(findings) == "CPU":
        return UNSUPPORTED, "the engine serves on a CPU"
    loads = [m for m in _measured(findings, variant) if m.cell.point]
    measured = [m for m in loads if m.metrics.get("duration_s", 0.0) >= WATCHED_S]
    if not measured:
        reason = f"no load cell lasted {WATCHED_S:g} s, too short to sample"
        return (FAIL, reason) if loads else _unmeasured(findings, variant, _is_load)
    gpus = [gpu for m in measured for gpu in m.telemetry.gpus]
    unseen = [m.cell.title for m in measured if not _watched(m)]
    if unseen:
        return FAIL, f"no power, clock or energy of {len(unseen)} of {len(measured)} load cells: {unseen[0]}"
    powers_w = [gpu.power_w_mean for gpu in gpus if gpu.power_w_mean is not None]
    clocks_mhz = sorted(gpu.sm_mhz_median for gpu in gpus if gpu.sm_mhz_median is not None)
    energy_j = sum(m.telemetry.energy_j for m in measured if m.telemetry.energy_j is not None)
    return PASS, (
        f"{sum(gpu.samples for gpu in gpus):,} samples in {len(measured)} load cells: mean "
        f"{sum(powers_w) / len(powers_w):.0f} W, SM clock {clocks_mhz[0]:.0f} to {clocks_mhz[-1]:.0f} MHz, "
        f"{energy_j:,.0f} J"
    )


def _watched(measured: Measured) -> bool:
    known = measured.telemetry.gpus
    told = all(gpu.samples and gpu.power_w_mean and gpu.sm_mhz_median for gpu in known)
    return bool(known) and told and bool(measured.telemetry.energy_j)


def _load(findings: Findings, variant: str) -> Verdict:
    planned = [cell for cell in _planned(findings, variant) if cell.point]
    measured = [m for m in _measured(findings, variant) if m.cell.point]
    if len(measured) < len(planned):
        return _unmeasured(findings, variant, _is_load)
    invalid = {m.cell.title: flag.message for m in measured for flag in m.flags if flag.invalid}
    if invalid:
        title, message = next(iter(invalid.items()))
        return FAIL, f"{len(invalid)} of {len(measured)} load points are invalid: {title}: {message}"
    points = [point for (name, _), found in findings.points.items() if name == variant for point in found]
    said = [
        f"{metric.partition('_')[0].upper()} {value:.3g} ms single-stream" if profile == "single_stream" else
        f"{value:,.0f} output tok/s"
        for profile, metric in (("single_stream", "tpot_ms_p50"), ("throughput", "output_tok_per_s"))
        for point in points
        if point.profile == profile and (value := point.value(metric)) is not None
    ]  # fmt: skip
    return PASS, "; ".join([f"{len(measured)} load points valid", *said])


def _serves(cell: Cell) -> bool:
    return cell.answered_by_variant and not cell.layer


def _is_load(cell: Cell) -> bool:
    return cell.point is not None


def _is_product(cell: Cell) -> bool:
    return cell.layer is not None


def _planned(findings: Findings, variant: str) -> list[Cell]:
    study = findings.study
    cells = [m.cell for m in study.measured] + [f.cell for f in study.failures if f.cell] + list(study.missing)
    return [cell for cell in cells if cell.variant == variant]


def _measured(findings: Findings, variant: str) -> list[Measured]:
    return [m for m in findings.study.measured if m.cell.variant == variant]


def _failures(findings: Findings, variant: str) -> list[tuple[Cell, str]]:
    """The cells that failed, each with its error."""
    return [(f.cell, f.error) for f in findings.study.failures if f.cell and f.cell.variant == variant]


def _unmeasured(findings: Findings, variant: str, kept: Callable[[Cell], bool]) -> Verdict:
    errors = [error for cell, error in _failures(findings, variant) if kept(cell)]
    if errors:
        return FAIL, f"{len(errors)} cells failed: {_first_line(errors[0])}"
    missing = [cell for cell in findings.study.missing if cell.variant == variant and kept(cell)]
    return FAIL, f"{len(missing)} cells are not measured" if missing else "nothing was measured"


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")


OF_EACH_VARIANT: dict[str, Callable[[Findings, str], Verdict | None]] = {
    "gemm": _gemm,
    "telemetry": _telemetry,
    "load": _load,
}

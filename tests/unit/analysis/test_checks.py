"""A proof passes on what was measured, fails on what is wrong or missing, and never passes in silence."""

import json

import pytest

from harness.analysis import analyse
from harness.analysis.decision.checks import CheckResult, check_results, failed
from harness.report import write_report
from harness.report.console import print_table
from harness.report.tables.checks import checks_summary, checks_table, left_out_table
from tests.unit.gemm.samples import gemm_parts
from tests.unit.report.synthetic_records import VARIANTS
from tests.unit.report.synthetic_study import build, parts

GPU = {"index": 0, "name": "H100", "samples": 40, "power_w_mean": 300.0, "sm_mhz_median": 1755, "energy_j": 900.0}
ON_GPU = {"engine": {"kind": "vllm", "device": "cuda"}}
FP8_ON_ALL = {"CompressedTensorsW8A8Fp8": {"layers": 120, "names": ["model.layers.0-29.mlp.down_proj"]}}
CHAT = {"chat_512_256": (512, 256)}
STAYED = {"code": "activations_unquantized", "level": "caution", "message": "activations stayed in 16 bit"}
FP8_GONE = {"part": "variant", "variant": "fp8", "label": "Dense FP8", "reason": "needs compute capability 8.9; ..."}


def results(manifest, records, rows, checks: dict, **more) -> dict[tuple[str, str], CheckResult]:
    manifest |= {"checks": checks, "config": manifest["config"] | ON_GPU} | more
    found = check_results(analyse(build(manifest, records, rows, more.get("failures"))))
    return {(result.check, result.variant): result for result in found}


def loads(scheme: str | None = None):
    """The synthetic study as a GPU that was watched would have left it; FP8 layers ran with `scheme`."""
    manifest, records, rows = parts({name: VARIANTS[name] for name in ("bf16", "fp8")}, [1.0], scenarios=CHAT)
    for record in records:
        record["flags"] = []
        record["telemetry"] = {"energy_j": 900.0, "gpus": [GPU]}
        record["engine"] |= {"kernels": [], "quantization": "none"}
        if scheme and record["cell"]["variant"] == "fp8":
            record["engine"] |= {"schemes": {scheme: FP8_ON_ALL["CompressedTensorsW8A8Fp8"]}, "quantization": "ct"}
    return manifest, records, rows


def expect(value: float, tolerance: float = 0.01) -> dict:
    entry = {"variant": "fp8", "metric": "speedup/gemm_highest", "value": value, "tolerance": tolerance, "source": "s"}
    return {"metrics": [entry]}


@pytest.mark.parametrize(("value", "status"), [(2.0, "pass"), (2.02, "pass"), (1.98, "fail"), (2.03, "fail")])
def test_a_metric_must_be_within_its_relative_tolerance(value, status):
    (found,) = results(*gemm_parts(), expect(value)).values()
    assert found.status == status and found.evidence.startswith(f"2, expected {value:g} (")


def test_a_metric_that_was_not_measured_fails():
    checks = expect(2.0)
    checks["metrics"][0]["metric"] = "perplexity/perplexity"
    (found,) = results(*gemm_parts(), checks).values()
    assert (found.status, found.evidence) == ("fail", "not measured")


def test_products_pass_where_every_answer_is_right_and_are_held_against_the_vendors():
    found = results(*gemm_parts(), {"gemm": True})
    assert {key: result.status for key, result in found.items()} == {
        ("gemm", name): "pass" for name in ("bf16", "fp8", "sparse_fp8")
    }
    assert found["gemm", "fp8"].evidence == (
        "engine fp8: 6 products, error at most 0.10 of the bound; 0.90 to 0.90× the vendor library"
    )
    found = results(*gemm_parts(wrong="fp8"), {"gemm": True})
    assert found["gemm", "fp8"].status == "fail" and "incorrect results" in found["gemm", "fp8"].evidence
    assert found["gemm", "bf16"].status == "pass"


def test_a_missing_product_fails():
    manifest, records, rows = gemm_parts()
    rows["fp8/gemm/qkv_proj"] = rows["fp8/gemm/qkv_proj"][4:]
    assert results(manifest, records, rows, {"gemm": True})["gemm", "fp8"].evidence == "5 of 6 products were timed"


@pytest.mark.parametrize(
    ("scheme", "wanted", "status", "evidence"),
    [
        ("CompressedTensorsW8A8Fp8", "CompressedTensorsW8A8Fp8", "pass", "CompressedTensorsW8A8Fp8 on 120 layers"),
        ("CompressedTensorsW8A16Fp8", "CompressedTensorsW8A8Fp8", "fail", "CompressedTensorsW8A16Fp8 on 120 layers, e"),
        (None, "CompressedTensorsW8A8Fp8", "fail", "none, expected CompressedTensorsW8A8Fp8"),
    ],
)
def test_the_scheme_of_every_layer_is_what_the_engines_log_names(scheme, wanted, status, evidence):
    found = results(*loads(scheme), {"schemes": {"fp8": wanted, "bf16": "none"}})
    assert found["scheme", "fp8"].status == status and found["scheme", "fp8"].evidence.startswith(evidence)
    assert found["scheme", "bf16"].status == "pass"


def test_layers_that_ran_otherwise_and_a_silent_log_fail():
    manifest, records, rows = loads("CompressedTensorsW8A8Fp8")
    first = next(record for record in records if record["cell"]["variant"] == "fp8")
    first["engine"] = {"schemes": FP8_ON_ALL | {"CompressedTensorsW8A16Fp8": {"layers": 1}}}
    checks = {"schemes": {"fp8": "CompressedTensorsW8A8Fp8"}}
    assert results(manifest, records, rows, checks)["scheme", "fp8"].status == "fail"
    first["engine"] = {}
    found = results(manifest, records, rows, checks)["scheme", "fp8"]
    assert found.status == "fail" and "log names no scheme" in found.evidence
    first["engine"] = {"schemes": FP8_ON_ALL}
    first["flags"] = [STAYED]
    found = results(manifest, records, rows, checks)["scheme", "fp8"]
    assert found.status == "fail" and found.evidence.startswith("activations stayed in 16 bit")


def test_layers_are_counted_by_the_products_shapes_where_these_are_known():
    manifest, records, rows = gemm_parts()
    cell = {"key": "fp8/s", "kind": "accuracy", "variant": "fp8", "suite": "s", "repeat": 0}
    served = {"cell": cell, "result": {}, "flags": [], "engine": {"schemes": {"X": {"layers": 64}}}}
    manifest["cells"].append(cell)
    wanted = {"schemes": {"fp8": "X"}}
    assert results(manifest, [*records, served], rows, wanted)["scheme", "fp8"].status == "pass", "two of each of 32"
    served["engine"]["schemes"]["X"]["layers"] = 63
    assert results(manifest, [*records, served], rows, wanted)["scheme", "fp8"].status == "fail"


def test_telemetry_wants_power_clocks_and_energy_of_every_cell_that_lasted():
    manifest, records, rows = loads()
    assert {r.status for r in results(manifest, records, rows, {"telemetry": True}).values()} == {"pass"}
    record = next(r for r in records if r["cell"]["kind"] == "load" and r["cell"]["variant"] == "fp8")
    record["telemetry"] = {}
    found = results(manifest, records, rows, {"telemetry": True})
    assert found["telemetry", "fp8"].status == "fail" and "of 1 of 3 load cells" in found["telemetry", "fp8"].evidence
    record["result"]["duration_s"] = 0.2
    assert results(manifest, records, rows, {"telemetry": True})["telemetry", "fp8"].status == "pass"


def test_an_invalid_load_point_and_one_that_is_missing_fail():
    manifest, records, rows = loads()
    found = results(manifest, records, rows, {"load": True})
    assert {result.status for result in found.values()} == {"pass"}
    assert found["load", "bf16"].evidence.startswith("3 load points valid; TPOT ")
    record = next(r for r in records if r["cell"]["kind"] == "load" and r["cell"]["variant"] == "fp8")
    record["flags"] = [{"code": "errors", "level": "invalid", "message": "4 of 16 requests failed"}]
    found = results(manifest, records, rows, {"load": True})["load", "fp8"]
    assert found.status == "fail" and "1 of 3 load points are invalid" in found.evidence
    records.remove(record)
    assert results(manifest, records, rows, {"load": True})["load", "fp8"].evidence == "1 cells are not measured"


def test_what_the_machine_does_not_support_is_no_failure(capsys, tmp_path):
    manifest, records, rows = loads()
    del manifest["variants"]["fp8"]
    manifest["cells"] = [cell for cell in manifest["cells"] if cell["variant"] != "fp8"]
    checks = {"schemes": {"fp8": "CompressedTensorsW8A8Fp8"}, "load": True}
    found = results(manifest, records, rows, checks, left_out=[FP8_GONE])
    assert {key for key, result in found.items() if result.status == "unsupported"} == {
        ("scheme", "fp8"),
        ("load", "fp8"),
    }
    assert not failed(tuple(found.values()))
    findings = analyse(build(manifest, records, rows))
    print_table(checks_table(findings), checks_summary(findings, check_results(findings)))
    printed = capsys.readouterr().out
    assert "NOT ON THIS GPU" in printed and "checks: 1 PASS, 0 FAIL, 2 NOT ON THIS GPU" in printed
    assert "needs compute capability 8.9" in printed and left_out_table(findings).rows
    write_report(findings.study, tmp_path, findings)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["left_out"] == [FP8_GONE] and len(summary["checks"]) == 3
    page = (tmp_path / "index.html").read_text()
    assert '<section id="checks"' in page and "NOT ON THIS GPU" in (tmp_path / "release_notes.md").read_text()


def test_a_cpu_is_named_a_cpu_and_has_neither_emulated_schemes_nor_telemetry():
    manifest, records, rows = loads()
    manifest["variants"]["fp8"]["emulated"] = "its number format is emulated on a CPU"
    on_cpu = {"config": {"engine": {"device": "cpu"}}}
    found = results(manifest, records, rows, {"schemes": {"fp8": "X"}, "telemetry": True}, **on_cpu)
    assert {result.status for result in found.values()} == {"unsupported"}
    findings = analyse(build(manifest, records, rows))
    assert {row[2].text for row in checks_table(findings).rows} == {"NOT ON THIS CPU"}


def test_a_simulated_engine_proves_nothing():
    manifest, records, rows = loads("CompressedTensorsW8A8Fp8")
    records[0]["engine"]["kind"] = "simulated"
    found = results(manifest, records, rows, {"schemes": {"fp8": "CompressedTensorsW8A8Fp8"}, "load": True})
    assert {result.status for result in found.values()} == {"not_checked"}
    assert not failed(tuple(found.values()))


def test_a_sweep_without_checks_and_an_older_store_have_none():
    manifest, records, rows = parts()
    assert "checks" not in manifest and check_results(analyse(build(manifest, records, rows))) == ()

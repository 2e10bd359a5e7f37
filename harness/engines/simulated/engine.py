"""A simulated engine: rehearses a sweep without a GPU, and tests what measures. Its numbers are no model's."""

import contextlib
import hashlib
import math
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import __version__
from harness.config.deployments import Axes
from harness.engines import Deployment, Engine, EngineConfig, Server
from harness.engines.dialect import VLLM
from harness.engines.model_list import list_models
from harness.engines.parallel import parallel_sizes
from harness.engines.process import ServerProcess, own_port, port_in_use
from harness.engines.simulated.roofline import Roofline, problems
from harness.engines.simulated.schemes import SCHEMES, Scheme, scheme_of
from harness.engines.simulated.shapes import SHAPES
from harness.errors import ConfigError, EngineError, did_you_mean
from harness.machine.data_sheets import HARDWARE
from harness.records.engine_facts import EngineFacts
from harness.records.fields import Facts

MODULE = "harness.engines.simulated.server"
# kv_cache_dtype in the engines' names: vLLM's, SGLang's, llama.cpp's (blocks of 32 with one 16-bit scale).
KV_BITS = {
    "auto": None, "bfloat16": 16.0, "bf16": 16.0, "float16": 16.0, "f16": 16.0, "int8": 8.0, "nvfp4": 4.5,
    "fp8": 8.0, "fp8_e4m3": 8.0, "fp8_e5m2": 8.0, "q8_0": 8.5, "q4_0": 4.5,
}  # fmt: skip


@dataclass
class SimulatedConfig(EngineConfig):
    """`schemes`: variant -> name in schemes.py, in place of the variant's own scheme. With `gap_ms` set, tokens come on
    a fixed schedule instead.

    `efficiency` and `start_sd` rehearse a regression and a gate for it: every duration is divided by the variant's
    efficiency, and multiplied by a factor that each start of the server draws anew, seeded by nothing.
    """

    kind: str = "simulated"
    hardware: str = "h100"  # the GPU of the roofline: machine/data_sheets.py
    shape: str = "llama-3.1-8b"  # the model's layers and widths
    schemes: dict[str, str] = field(default_factory=dict)  # variant -> scheme that it is timed as
    max_num_seqs: int = 256  # sequences in a batch
    max_num_batched_tokens: int = 8192  # tokens of one step
    max_model_len: int = 16384  # tokens of one request, prompt and answer
    jitter: float = 0.02  # standard deviation of the logarithm of a step's duration
    seed: int = 0  # of the jitter
    efficiency: Any = 1.0  # 0.93: 7 % slower; or by variant, {fp8_dynamic: 0.93}
    start_sd: float = 0.0  # standard deviation of the logarithm of a start's factor; real servers: 0.005 to 0.03
    gap_ms: float | None = None  # token k is due at arrival + ttft_ms + k * gap_ms, whatever the load
    ttft_ms: float = 0.0  # with gap_ms
    port: int | None = None  # null: a free one
    startup_timeout_s: float = 30.0  # until the server answers
    stop_grace_s: float = 5.0  # from SIGTERM to SIGKILL


class Simulated(Engine):
    Config = SimulatedConfig
    label = "the simulated engine"
    dialect = VLLM

    def fingerprint(self) -> Facts:
        c = self.config
        code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
        facts = {"kind": "simulated", "code": hashlib.sha256(code).hexdigest(), "max_num_seqs": c.max_num_seqs}
        facts |= {"max_num_batched_tokens": c.max_num_batched_tokens, "max_model_len": c.max_model_len}
        facts |= {"jitter": c.jitter, "seed": c.seed, "gap_ms": c.gap_ms, "ttft_ms": c.ttft_ms}
        return facts | ({"start_sd": c.start_sd} if c.start_sd else {})

    def deployment_fingerprint(self, deployment: Deployment) -> Facts:
        c = self.config
        facts = {"hardware": c.hardware, "shape": c.shape, "axes": deployment.axes.beyond_defaults().given()}
        facts |= {"efficiency": share} if (share := self._efficiency(deployment)) != 1 else {}
        try:
            scheme = self._scheme(deployment)
        except ValueError:  # preflight says it
            return facts
        facts |= {"scheme": scheme.name, "weight_bits": scheme.bits, "compute": scheme.compute, "sparse": scheme.sparse}
        return facts | {"kv_bits": _kv_bits(deployment)}

    def problems(self) -> list[str]:
        c, found = self.config, []
        for setting, value, known in (("hardware", c.hardware, HARDWARE), ("shape", c.shape, SHAPES)):
            if value not in known:
                found.append(f"engine.{setting}={value}: not known{did_you_mean(value, list(known))}")
        if not 1 <= c.max_num_seqs <= c.max_num_batched_tokens:
            found.append(
                f"engine.max_num_seqs={c.max_num_seqs} must be at least 1 and at most engine.max_num_batched_tokens="
                f"{c.max_num_batched_tokens}: each sequence that decodes takes a token of every step"
            )
        if c.jitter < 0 or c.ttft_ms < 0 or (c.gap_ms is not None and c.gap_ms < 0):
            found.append("engine.jitter, engine.ttft_ms and engine.gap_ms must not be negative")
        if not 0 <= c.start_sd < 1:
            found.append(f"engine.start_sd={c.start_sd} must be 0 or more and less than 1; starts of 1 % are 0.01")
        shares = c.efficiency if isinstance(c.efficiency, dict) else {"": c.efficiency}
        found += [
            f"engine.efficiency{f'.{name}' if name else ''}={share}: must be a number above 0; 0.93 is 7 % slower"
            for name, share in shares.items()
            if not (isinstance(share, int | float) and 0 < share < math.inf)
        ]
        if c.port is not None and port_in_use(c.port):
            found.append(f"engine.port {c.port} is in use by another process; leave engine.port=null for a free one")
        return found

    def deployment_args(self, axes: Axes) -> list[str]:
        """None: it reads the axes themselves, since the arguments of a variant are another engine's."""
        if axes.kv_cache_dtype is not None and axes.kv_cache_dtype not in KV_BITS:
            raise ConfigError(f"kv_cache_dtype: {axes.kv_cache_dtype!r}"
                              f"{did_you_mean(axes.kv_cache_dtype, list(KV_BITS))}")  # fmt: skip
        if axes.speculative is not None:
            raise ConfigError(
                "speculative: not simulated: how many tokens are accepted, and so when they come, is the text's "
                "matter; leave it out with deployments.speculative=[]"
            )
        return []

    def deployment_problems(self, deployments: Sequence[Deployment]) -> list[str]:
        found = [f"variant {d.name}: {why}" for d in deployments for why in self._problems(d)]
        unknown = {name: scheme for name, scheme in self.config.schemes.items() if scheme not in SCHEMES}
        found += [
            f"engine.schemes.{name}={scheme}: no such scheme{did_you_mean(scheme, list(SCHEMES))}"
            for name, scheme in unknown.items()
        ]
        served = {name for d in deployments for name in (d.name, d.deployment_of) if name}
        shares = self.config.efficiency if isinstance(self.config.efficiency, dict) else {}
        found += [
            f"engine.efficiency.{name}: the sweep has no such variant{did_you_mean(name, sorted(served))}"
            for name in shares.keys() - served
        ]
        return found

    def _problems(self, deployment: Deployment) -> list[str]:
        c = self.config
        if c.hardware not in HARDWARE or c.shape not in SHAPES or c.gap_ms is not None:
            return []
        if parallel := parallel_sizes(deployment.args):
            axis, size = next(iter(parallel.items()))
            return [f"its engine_args set {axis} to {size}, which is not simulated; set deployments.{axis}=[{size}]"]
        sequences, tokens = self._limits(deployment.axes)
        if sequences > tokens:
            return [f"max_num_seqs {sequences} with max_num_batched_tokens {tokens}; each sequence takes one of them"]
        try:
            return problems(self._roofline(deployment))
        except ValueError as error:
            return [f"{error}; set +engine.schemes.{deployment.name}= to one of {', '.join(SCHEMES)}"]

    def _scheme(self, deployment: Deployment) -> Scheme:
        """Raises ValueError for one that has no roofline."""
        named = (self.config.schemes.get(name) for name in (deployment.name, deployment.deployment_of))
        override = next(filter(None, named), None)
        return SCHEMES[override] if override in SCHEMES else scheme_of(deployment.scheme)

    def _efficiency(self, deployment: Deployment) -> float:
        """Return the share of the roofline's speed that a deployment has: its own, its variant's, else 1."""
        shares = self.config.efficiency
        if not isinstance(shares, dict):
            return float(shares)
        own = (shares[name] for name in (deployment.name, deployment.deployment_of) if name in shares)
        return float(next(own, 1.0))

    def _roofline(self, deployment: Deployment) -> Roofline:
        hardware, shape = HARDWARE[self.config.hardware], SHAPES[self.config.shape]
        degree = deployment.axes.tensor_parallel or 1
        return Roofline(hardware, shape, self._scheme(deployment), degree, _kv_bits(deployment))

    def _limits(self, axes: Axes) -> tuple[int, int]:
        """(max_num_seqs, max_num_batched_tokens)"""
        c = self.config
        return axes.max_num_seqs or c.max_num_seqs, axes.max_num_batched_tokens or c.max_num_batched_tokens

    def command(self, deployment: Deployment, port: int | None = None, start_factor: float = 1.0) -> list[str]:
        c = self.config
        command = [sys.executable, "-m", MODULE, "--model", deployment.name, "--port", str(port or c.port or "PORT")]
        command += ["--max-model-len", str(c.max_model_len), "--seed", str(c.seed)]
        if (slowdown := start_factor / self._efficiency(deployment)) != 1:
            command += ["--slowdown", f"{slowdown:.6g}"]
        if c.gap_ms is not None:
            return [*command, "--gap-ms", str(c.gap_ms), "--ttft-ms", str(c.ttft_ms)]
        try:
            axes, scheme = deployment.axes, self._scheme(deployment)
        except ValueError:  # preflight says it
            return [*command, "--weight-bits", "NONE"]
        sequences, tokens = self._limits(axes)
        command += ["--hardware", c.hardware, "--shape", c.shape]
        command += ["--weight-bits", f"{scheme.bits:g}", "--compute", scheme.compute]
        command += [*(["--sparse"] if scheme.sparse else []), "--kv-bits", f"{_kv_bits(deployment):g}"]
        command += ["--tensor-parallel", str(axes.tensor_parallel or 1), "--replicas", str(axes.replicas or 1)]
        command += ["--max-num-seqs", str(sequences), "--max-num-batched-tokens", str(tokens)]
        command += ["--no-chunked-prefill"] if axes.chunked_prefill is False else []
        return [*command, "--jitter", str(c.jitter)]

    @contextlib.contextmanager
    def serve(self, deployment: Deployment, log: Path) -> Iterator[Server]:
        with own_port(self.config.port or None) as port:
            if port_in_use(port):
                raise EngineError(
                    f"variant {deployment.name}: port {port} is in use; set engine.port=null for a free one"
                )
            factor = random.SystemRandom().lognormvariate(0.0, self.config.start_sd)
            command = self.command(deployment, port, factor)
            base_url = f"http://127.0.0.1:{port}"
            process = ServerProcess(command, {}, log, self.config.stop_grace_s)
            try:
                what = f"variant {deployment.name}: the simulated engine"
                server = Server(base_url, deployment.name)
                process.wait_ready(lambda: _answers(server), self.config.startup_timeout_s, what)
                if deployment.name not in (available := list_models(server) or []):
                    raise EngineError(f"{what} at {base_url} serves {available}; another server took its port?")
                simulated = self.deployment_fingerprint(deployment)
                facts = EngineFacts(
                    self.kind, command=tuple(command), log=str(log), version=__version__, more=simulated
                )
                yield Server(base_url, deployment.name, None, facts)
            finally:
                process.stop()

    def reset_prefix_cache(self, server: Server) -> bool:
        return True  # it has none


def _kv_bits(deployment: Deployment) -> float:
    """Bits of the axis, else of the variant's scheme, else 16."""
    own = deployment.scheme.kv_cache.bits if deployment.scheme.kv_cache else 16.0
    return KV_BITS.get(deployment.axes.kv_cache_dtype or "auto") or float(own)


def _answers(server: Server) -> bool:
    try:
        return bool(list_models(server))
    except EngineError:
        return False

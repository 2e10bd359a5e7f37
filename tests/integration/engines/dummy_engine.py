"""An engine as a module of its own: beside it, a line in ENGINES and conf/engine/dummy.yaml are all that it takes."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config.deployments import Axes
from harness.engines import Deployment, Engine, EngineConfig, Server
from harness.engines.dialect import EVERYTHING, Dialect
from harness.engines.model_list import is_served
from harness.engines.process import ServerProcess, free_port
from harness.records.engine_facts import EngineFacts

METRICS = {"vllm:generation_tokens_total": "generation_tokens"}  # the simulated server's name: ours


@dataclass
class DummyConfig(EngineConfig):
    kind: str = "dummy"
    version: str | None = None
    gap_ms: float = 0.0  # between two tokens


class Dummy(Engine):
    Config = DummyConfig
    label = "Dummy"
    dialect = Dialect(
        "dummy", ("ignore_eos",), EVERYTHING, metrics={"vllm:generation_tokens_total": "generation_tokens"}
    )

    def fingerprint(self) -> dict[str, Any]:
        return {"kind": self.kind, "version": self.version, "gap_ms": self.config.gap_ms}

    def deployment_args(self, axes: Axes) -> list[str]:
        return []

    @contextmanager
    def serve(self, deployment: Deployment, log: Path) -> Iterator[Server]:
        port = free_port()
        command = [sys.executable, "-m", "harness.engines.simulated.server", "--model", deployment.name]
        command += ["--port", str(port), "--gap-ms", str(self.config.gap_ms), "--ttft-ms", "5"]
        process = ServerProcess(command, {}, log, grace_s=5)
        try:
            facts = EngineFacts(self.kind, command=tuple(command), log=str(log), version=self.version or "")
            server = Server(f"http://127.0.0.1:{port}", deployment.name, None, facts, self.dialect)
            process.wait_ready(lambda: is_served(server), 60, self.label)
            yield server
        finally:
            process.stop()

    def reset_prefix_cache(self, server: Server) -> bool:
        return True

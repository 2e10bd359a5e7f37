"""Settings of the Ray executor."""

from dataclasses import dataclass, field
from typing import Any

from harness.executors import NONE


@dataclass
class RayConfig:
    """Sessions on the nodes of a Ray cluster (docs/clusters.md)."""

    kind: str = "ray"
    address: str = "auto"  # HOST:PORT, ray://HOST:PORT; auto: RAY_ADDRESS, or the cluster that this machine is in
    nodes: list[str] | None = None  # host names, addresses or ids of those to use; null: all that have the resources
    accelerator: str | None = None  # uses nodes with this GPU, by Ray's name: H100, A100, L40S
    resources: dict[str, float] = field(default_factory=dict)  # of Ray: a node must have them, a session takes them
    cpus: float | None = None  # a session's, as Ray counts them; null: its share of the node
    parallel: int | None = None  # sessions at once; null: as many as fit
    colocate: str = NONE  # what may run on a node beside a session that measures load: none | accuracy | all
    shared_cache: bool = True  # for engines that load weights: cache_dir must be one folder on all nodes
    runtime_env: dict[str, Any] = field(default_factory=dict)  # added to Ray's: {pip: [...], env_vars: {...}}

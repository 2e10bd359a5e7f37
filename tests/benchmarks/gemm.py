"""The times of the GEMM worker beside torch.utils.benchmark.Timer on the same calls: python tests/benchmarks/gemm.py

Both run in the engine's environment (engine=vllm_cpu, or --engine), one after the other and --repeats times in turn.
The ratio that should be 1 is worker / Timer with cold weights; with hot weights, Timer measures another thing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from table import Row, markdown

from harness.checkpoints.model_config import Decoder
from harness.engines import engine_class
from harness.engines.vllm_gemm import GEMM_WORKER
from harness.gemm.formats import format_of
from harness.gemm.shapes import layers
from harness.sweeps.composing import compose

TIMER = Path(__file__).with_name("gemm_rows") / "timer.py"
SMOLLM2 = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3}
WITHIN = 0.05  # of the median ratio over all products

Key = tuple[str, str, str, int]  # layer, format, kernel, batch


def spec_of(config, batch_sizes: list[int]) -> dict:
    shapes = layers(Decoder(**SMOLLM2, num_hidden_layers=30), ["o_proj", "gate_up_proj"])
    formats = [format_of(variant.scheme) for variant in config.variants.values()]
    found = [{"name": s.name, "n": s.n, "k": s.k, "formats": formats} for s in shapes]
    timing = {"repeats": 9, "min_time_s": 0.02, "max_point_s": 20.0, "seed": 0}
    return {"device": config.engine.device, "layers": found, "batch_sizes": batch_sizes, **timing}


def answers(command: Sequence[str]) -> list[dict]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def key(said: dict) -> Key:
    return said["layer"], said["format"], said["kernel"], said["batch"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="vllm_cpu")
    parser.add_argument("--variants", default="bf16,int8_w8a8,fp32")
    parser.add_argument("--batch-sizes", default="1,16,128")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    config = compose.compose_sweep(["+sweep=gemm", f"engine={given.engine}", f"variant=[{given.variants}]"])
    engine = engine_class(config.engine.kind)(config.engine, Path(config.cache_dir).expanduser())
    engine.prepare(Path(tempfile.gettempdir()) / "gemm-benchmark-setup.log")
    ratios: dict[Key, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "spec.json"
        spec.write_text(json.dumps(spec_of(config, [int(size) for size in given.batch_sizes.split(",")])))
        command, _ = engine.gemm.command(spec)
        for _ in range(given.repeats):
            ours = {key(e): median(e["times_s"]) for e in answers(command) if e["event"] == "row"}
            for said in answers([command[0], str(TIMER), str(GEMM_WORKER), str(spec)]):
                own = ratios.setdefault(key(said), {"us": [], "cold": [], "hot": []})
                own["us"].append(1e6 * ours[key(said)])
                own["cold"].append(ours[key(said)] / said["cold_s"])
                own["hot"].append(ours[key(said)] / said["hot_s"])
    rows = [Row(f"{la}, {kernel} ({fmt}), batch {batch}", "", "", found) for (la, fmt, kernel, batch), found in
            ratios.items()]  # fmt: skip
    both = {name: [median(found[name]) for found in ratios.values()] for name in ("cold", "hot")}
    ok = abs(median(both["cold"]) - 1) <= WITHIN
    rows.append(Row("median over all products", "", f"cold within {WITHIN:.0%} of 1", both, ok))
    print(markdown(rows, {"us": "worker, µs", "cold": "worker / Timer, cold", "hot": "worker / Timer, hot"}))


if __name__ == "__main__":
    main()

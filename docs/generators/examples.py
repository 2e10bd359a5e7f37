"""Example reports and a compare page, written into the built site: python -m docs.generators.examples .site/examples

A study for a Hopper GPU is run on the simulated engine, in a minute or two. A store `docs/examples/NAME.tar.xz`
(slim.py) is shown beside it, as measured.
"""

import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from harness.analysis.load_study import load_study
from harness.report import write_report

STORES = Path(__file__).parents[1] / "examples"
HOPPER = "hopper_sparse_fp8"
SIMULATED = (
    *("rehearse", f"+sweep={HOPPER}", f"name={HOPPER}", "model=pocket:tokenizer", "judge=null", "progress=plain"),
    *("suite=[gsm8k]", "scenario=[instruction_256_128]", "load.rates_rps=[8,24,48]", "load.throughput_requests=32"),
)
COMPARED = ("bf16", "sparse24_fp8")
TEXTS = {".html", ".md", ".json", ".csv", ".svg", ".yaml"}


def main() -> int:
    out = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        _harness(*SIMULATED, f"results_dir={results}", f"reports_dir={folder}/reports")
        for store in sorted(STORES.glob("*.tar.xz")):
            with tarfile.open(store) as archive:
                archive.extractall(results, filter="data")
        for swept in sorted(results.iterdir()):
            print(write_report(load_study(swept), out / swept.name))
        page = out / "compare" / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        _harness("compare", "--results", str(results / HOPPER), *COMPARED, "--html", str(page))
        print(page)
        without_paths(out, [folder, str(Path(sys.executable).parent) + "/", str(Path.cwd())])
    return 0


def without_paths(folder: Path, paths: Iterable[str]) -> None:
    """Take the builder's own folders out of every text below `folder`."""
    for file in folder.rglob("*"):
        if file.suffix in TEXTS:
            text = file.read_text()
            for path in paths:
                text = text.replace(path, "" if path.endswith("/") else ".")
            file.write_text(text)


def _harness(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "harness", *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())

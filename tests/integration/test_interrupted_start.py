"""Ctrl-C before a sweep runs: while modules are imported, and while Hydra composes the configuration."""

import subprocess
import sys

SWEEP = ("+sweep=quickstart", "engine=simulated", "dry_run=true")
INTERRUPTED_IMPORT = """
import os, runpy, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "harness.console.output":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
runpy.run_module("harness", run_name="__main__", alter_sys=True)
"""
INTERRUPTED_COMPOSITION = """
import os, runpy, signal, sys
from hydra._internal.config_loader_impl import ConfigLoaderImpl

load = ConfigLoaderImpl.load_configuration

def interrupted(*arguments, **options):
    os.kill(os.getpid(), signal.SIGINT)
    print("composed", file=sys.stderr)
    return load(*arguments, **options)

ConfigLoaderImpl.load_configuration = interrupted
runpy.run_module("harness", run_name="__main__", alter_sys=True)
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code, *SWEEP], capture_output=True, text=True, timeout=120)


def test_an_interrupt_during_the_imports_ends_without_a_traceback():
    done = run(INTERRUPTED_IMPORT)
    assert (done.returncode, done.stdout, done.stderr) == (-2, "", "")


def test_an_interrupt_during_composition_waits_for_its_end():
    done = run(INTERRUPTED_COMPOSITION)
    assert done.returncode == 130
    assert done.stderr.split("\n", 1)[0] == "composed"
    assert "interrupted" in done.stderr and "Traceback" not in done.stderr and not done.stdout

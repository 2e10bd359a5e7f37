"""Real signals to a real process: what comes once, again, during the cleaning up, and under nohup."""

import signal
import subprocess
import sys
import textwrap

import pytest

from harness.machine import interrupts
from harness.machine.interrupts import Interrupted

pytestmark = pytest.mark.slow

START = """
import os, signal, sys
from harness.machine import interrupts

def send(number=signal.SIGINT):
    os.kill(os.getpid(), number)

interrupts.install()
"""


def run(body: str, **options) -> subprocess.CompletedProcess:
    program = START + textwrap.dedent(body)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, **options)


def test_an_interrupt_is_held_until_the_work_is_done():
    done = run("""
        try:
            with interrupts.held():
                send()
                print("finished")
            print("not reached")
        except interrupts.Interrupted:
            print("then interrupted")
    """)
    assert done.stdout.split("\n")[:2] == ["finished", "then interrupted"], done.stderr


@pytest.mark.parametrize("cleaning", ["finally", "with", "generator"])
def test_the_second_and_third_do_not_disturb_the_cleaning_up(cleaning):
    done = run(f"""
        import contextlib
        class Manager:
            def __enter__(self): return self
            def __exit__(self, *_): clean()
        @contextlib.contextmanager
        def generator():
            try:
                yield
            finally:
                clean()
        def clean():
            send(); send(signal.SIGTERM)
            with interrupts.held():
                send()
            print("cleaned")
        def work():
            if {cleaning!r} == "finally":
                try:
                    send()
                finally:
                    clean()
            with Manager() if {cleaning!r} == "with" else generator():
                send()
        try:
            work()
        except KeyboardInterrupt as error:
            print("exit", interrupts.exit_code(error))
        send()  # once the interrupt was dealt with, it is a new one
    """)
    assert done.stdout.split("\n")[:2] == ["cleaned", "exit 130"], done.stderr
    assert done.stderr.count("interrupted already") == 3
    assert "Interrupted" in done.stderr, "the last one"


def test_an_interrupt_that_a_library_swallows_can_be_sent_again():
    done = run("""
        class Swallows:
            def __del__(self):
                send()  # Python prints and drops what a finalizer raises
        Swallows()
        try:
            send()
        except KeyboardInterrupt:
            print("interrupted")
    """)
    assert done.stdout == "interrupted\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_exit_codes(number, code):
    assert interrupts.exit_code(Interrupted(number)) == code
    assert interrupts.exit_code(KeyboardInterrupt()) == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_nohup_and_scripts_ignore_stays_ignored(number):
    done = run(
        f"send(signal.Signals({int(number)})); print('goes on')",
        preexec_fn=lambda: signal.signal(number, signal.SIG_IGN),
    )
    assert done.stdout == "goes on\n", done.stderr


def test_other_threads_hold_nothing():
    done = run("""
        import threading
        inside, go = threading.Event(), threading.Event()
        def other():
            with interrupts.held():
                inside.set(); go.wait()
        thread = threading.Thread(target=other); thread.start(); inside.wait()
        try:
            send()
        except KeyboardInterrupt:
            print("at once")
        go.set(); thread.join()
    """)
    assert done.stdout == "at once\n", done.stderr

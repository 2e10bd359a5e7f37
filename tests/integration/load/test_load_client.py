"""The client against a real server: what it measures, and that no request is lost from the books."""

import itertools
import socket
import sys
import threading
import time

import numpy as np
import pytest

from harness.engines import Server
from harness.load.client import run_schedule
from harness.load.metrics import sample, summarize
from harness.load.requests import make_request
from harness.load.sockets import stamped_socket, stamping
from harness.load.trace import Asked

TOKENS = 6


def run(server, times, *, concurrency=None, tokens=TOKENS, request_timeout_s=5.0, cell_timeout_s=20.0, **options):
    requests = [make_request(n, t, server.model, [1, 2, 3, n], Asked(4, tokens)) for n, t in enumerate(times)]
    recording = run_schedule(
        server,
        requests,
        concurrency=concurrency,
        request_timeout_s=request_timeout_s,
        cell_timeout_s=cell_timeout_s,
        **options,
    )
    samples = [sample(trace, 4, tokens) for trace in recording.traces]
    result = summarize(samples, None)
    ends = result["requests_completed"] + result["requests_failed"] + result["requests_cancelled"]
    assert result["requests_sent"] == ends
    assert result["requests_sent"] + result["requests_unsent"] == len(times)
    return samples, result


def test_a_request_says_what_the_scenario_asks(scripted):
    run(scripted.server, [0.0])
    (body,) = scripted.bodies
    assert body["prompt"] == [1, 2, 3, 0]
    assert (body["model"], body["stream"], body["temperature"]) == ("tiny", True, 0)
    assert (body["max_tokens"], body["min_tokens"], body["ignore_eos"]) == (TOKENS, TOKENS, True)
    assert body["stream_options"] == {"include_usage": True}


def test_token_times_are_the_servers(scripted):
    """Client and server share a clock: no token is received before it was sent, and gaps are the server's gaps."""
    scripted.gap_s = 0.02
    samples, result = run(scripted.server, [0.0] * 4, tokens=20)
    assert [len(s.token_s) for s in samples] == [20] * 4
    true_gaps = np.concatenate([np.diff(sent) for sent in scripted.token_sent_s])
    assert result["itl_ms_p50"] == pytest.approx(np.median(true_gaps) * 1e3, rel=0.25)
    for s in samples:
        assert s.sent_s < s.token_s[0]
        assert s.token_s == sorted(s.token_s)
        assert s.token_s[-1] <= s.end_s
        assert s.prompt_tokens == 4
    assert result["ttft_ms_p50"] <= result["e2e_ms_p50"]


@pytest.mark.skipif(sys.platform != "linux", reason="SO_TIMESTAMPNS")
def test_stamps_are_the_kernels(scripted):
    _, result = run(scripted.server, [0.0, 0.05])
    assert result["timestamps"] == "kernel"


@pytest.mark.skipif(sys.platform != "linux", reason="SO_TIMESTAMPNS")
def test_a_late_reader_still_has_the_time_of_arrival():
    with stamping(), socket.create_server(("127.0.0.1", 0)) as listener:
        client = stamped_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", listener.getsockname()))
        client.connect(listener.getsockname())
        peer, _ = listener.accept()
        with client, peer:
            deadline = time.monotonic() + 5
            while client.received_s is None and time.monotonic() < deadline:  # stamping starts with a delay
                peer.sendall(b"token")
                client.recv(100)
            before = time.monotonic()
            peer.sendall(b"token")
            time.sleep(0.2)
            assert client.recv(100) == b"token"
            assert before - 0.001 < client.received_s < time.monotonic() - 0.19


def test_an_open_loop_does_not_wait(scripted):
    times = [0.0, 0.02, 0.04, 0.06, 0.08]
    samples, result = run(scripted.server, times, tokens=20)
    assert scripted.most_in_flight > 1
    assert [s.intended_s for s in samples] == times
    assert all(s.sent_s >= s.intended_s for s in samples)
    assert result["requests_completed"] == 5


def test_a_closed_loop_of_one_waits_for_each(scripted):
    samples, result = run(scripted.server, [0.0] * 5, concurrency=1)
    assert scripted.most_in_flight == 1
    assert result["requests_completed"] == 5
    for earlier, later in itertools.pairwise(samples):
        assert later.intended_s >= earlier.end_s  # its turn came when the one before it had ended


def test_a_closed_loop_keeps_its_concurrency(scripted):
    run(scripted.server, [0.0] * 12, concurrency=3)
    assert scripted.most_in_flight == 3


def test_progress_counts_every_request(scripted):
    seen = []
    scripted.script = ["good", "503"]
    run(scripted.server, [0.0] * 4, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_stall_of_the_client_shows_in_the_intended_send_figures(scripted):
    """Coordinated omission: the requests due during the stall are sent late, and their wait must not vanish."""

    def stall(done, total):
        if done == 1:
            time.sleep(0.4)

    times = [0.0, *np.linspace(0.1, 0.4, 20)]
    samples, result = run(scripted.server, times, tokens=2, progress=stall)
    assert result["send_lag_ms_p99"] > 100
    late = max(samples, key=lambda s: s.send_lag_s)
    assert late.token_s[0] - late.intended_s > 0.1
    assert result["ttft_ms_p99"] > result["ttft_from_send_ms_p50"] + 100


@pytest.mark.parametrize(
    ("behaviour", "kind", "tokens_seen"),
    [
        ("reset", "reset", 3),
        ("reset_at_once", "reset", 0),
        ("cut", "incomplete_stream", 3),
        ("fin", "incomplete_stream", 3),
        ("503", "http_503", 0),
        ("404", "http_404", 0),
        ("error_body", "server_error_object", 0),
        ("error_event", "server_error_object", 3),
        ("bad_json", "invalid_json", 6),
        ("hang", "timeout", 3),
        ("silent", "timeout", 0),
    ],
)
def test_misbehaviour_is_a_typed_error_and_leaves_the_others_alone(scripted, behaviour, kind, tokens_seen):
    scripted.script = ["good", behaviour]
    samples, result = run(scripted.server, [0.0, 0.05, 0.1, 0.15], request_timeout_s=1.2)
    assert result["errors"] == {kind: 2}
    assert result["requests_completed"] == 2
    for s in samples:
        if s.failed:
            # a connection that breaks takes along what was not yet read
            assert len(s.token_s) <= tokens_seen if kind == "reset" else len(s.token_s) == tokens_seen
            assert s.sent_s <= s.end_s
            if kind == "timeout":
                assert s.end_s - s.sent_s > 0.7  # the true latency


def test_http_errors_carry_their_reason(scripted):
    scripted.script = ["503"]
    (s,), _ = run(scripted.server, [0.0])
    assert "overloaded" in s.error.message
    assert "Retry-After: 7" in s.error.message


def test_an_endless_line_does_not_fill_the_memory(scripted):
    scripted.script = ["giant_line"]
    (s,), result = run(scripted.server, [0.0])
    assert result["errors"] == {"too_large": 1}
    assert s.end_s < 5.0


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    samples, result = run(Server(f"http://127.0.0.1:{port}", "tiny"), [0.0, 0.01])
    assert result["errors"] == {"connect": 2}
    assert all(s.end_s is not None and s.connect_s == 0.0 for s in samples)


def test_a_server_that_is_no_http(scripted):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            peer, _ = listener.accept()
            peer.recv(1000)
            peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
            peer.close()

        threading.Thread(target=answer, daemon=True).start()
        _, result = run(Server(f"http://127.0.0.1:{listener.getsockname()[1]}", "tiny"), [0.0])
    assert result["errors"] == {"bad_http": 1}


def test_the_cell_is_bounded_in_time(scripted):
    """What is open is cancelled, what was not yet sent stays so, and the finished one counts."""
    scripted.script = ["good", "silent"]
    started = time.monotonic()
    samples, result = run(scripted.server, [0.0, 0.05, 30.0], request_timeout_s=60.0, cell_timeout_s=0.7)
    assert time.monotonic() - started < 10
    assert (result["requests_completed"], result["requests_cancelled"], result["requests_unsent"]) == (1, 1, 1)
    assert samples[1].cancelled
    assert samples[1].end_s >= 0.6
    assert samples[2].sent_s is None


def test_a_closed_loop_is_bounded_too(scripted):
    scripted.script = ["good", "silent"]
    _, result = run(scripted.server, [0.0] * 4, concurrency=1, request_timeout_s=60.0, cell_timeout_s=0.7)
    assert (result["requests_completed"], result["requests_cancelled"], result["requests_unsent"]) == (1, 1, 2)

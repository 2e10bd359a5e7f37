"""The client against a real server: what it measures, and that no request is lost from the books."""

import contextlib
import itertools
import socket
import sys
import threading
import time

import numpy as np
import pytest

from harness.engines import Server
from harness.loadgen.client.connections import Clock, Exchange, PlainConnection
from harness.loadgen.client.sockets import connecting_socket, stamping
from harness.loadgen.client.spool import Planned
from tests.integration.load.client_run import TOKENS, run


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
        assert list(s.token_s) == sorted(s.token_s)
        assert s.token_s[-1] <= s.end_s
        assert s.prompt_tokens == 4
    assert result["ttft_ms_p50"] <= result["e2e_ms_p50"]


@pytest.mark.skipif(sys.platform != "linux", reason="SO_TIMESTAMPNS")
def test_stamps_are_the_kernels(scripted):
    _, result = run(scripted.server, [0.0, 0.05])
    assert result["timestamps"] == "kernel"


@pytest.mark.skipif(sys.platform != "linux", reason="SO_TIMESTAMPNS")
def test_a_late_reader_still_has_the_time_of_arrival():
    clock = Clock(0)
    with stamping(), socket.create_server(("127.0.0.1", 0)) as listener:
        ((address),) = socket.getaddrinfo(*listener.getsockname(), type=socket.SOCK_STREAM)
        connection = PlainConnection(connecting_socket(address))
        peer, _ = listener.accept()
        connection.sock.setblocking(True)
        connection.exchange = exchange = Exchange(Planned(0, 0.0, 0, 0, 1000, 0), 0.0, b"")
        with connection.sock, peer:
            deadline = time.monotonic() + 5
            while not (exchange.lengths and exchange.stamped) and time.monotonic() < deadline:
                exchange.stamped = True  # stamping starts with a delay
                peer.sendall(b"token")
                connection.read(clock)
            before = time.monotonic()
            peer.sendall(b"token")
            time.sleep(0.2)
            assert connection.read(clock) == 5
            assert before - 0.001 < exchange.times[-1] < time.monotonic() - 0.19


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
    assert seen[-1] == (4, 4)
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("behaviour", "kind", "tokens_seen"),
    [
        ("reset", "reset", 3),
        ("reset_at_once", "reset", 0),
        ("cut", "incomplete_stream", 3),
        ("fin", "incomplete_stream", 3),
        ("503", "http_503", 0),
        ("404", "http_404", 0),
        ("429", "http_429", 0),
        ("slow", "timeout", 2),
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


@pytest.mark.parametrize("behaviour", ["split_utf8", "bad_utf8"])
def test_characters_that_are_cut_or_broken_are_tokens_all_the_same(scripted, behaviour):
    scripted.script = [behaviour]
    (s,), result = run(scripted.server, [0.0])
    assert (result["requests_completed"], len(s.token_s), s.merged_events) == (1, TOKENS, 0)


def test_connections_are_kept_and_opened_before_they_are_needed(scripted):
    samples, _ = run(scripted.server, [0.0, 0.3, 0.6])
    assert all(s.connect_s == 0.0 for s in samples)


def test_http_errors_carry_their_reason(scripted):
    scripted.script = ["503"]
    (s,), _ = run(scripted.server, [0.0])
    assert "overloaded" in s.error.message
    assert "Retry-After: 7" in s.error.message


def test_a_server_that_closes_after_each_answer_costs_no_request():
    """As llama.cpp's does, without saying so: the next request is on its way already, or is not."""
    answer = b'data: {"choices": [{"index": 0, "text": " a", "finish_reason": "length"}]}\n\ndata: [DONE]\n\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    connections = []

    def serve(listener):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                connections.append(peer)
                threading.Thread(target=one, args=(peer,), daemon=True).start()

    def one(peer):
        if peer.recv(1 << 16):
            peer.sendall(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(answer), answer))
        peer.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        server = Server(f"http://127.0.0.1:{listener.getsockname()[1]}", "tiny")
        _, result = run(server, [0.0] * 40, tokens=1, concurrency=1)
    assert result["errors"] == {} and result["requests_completed"] == 40
    assert len(connections) >= 40


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
    assert all(s.end_s is not None for s in samples)


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

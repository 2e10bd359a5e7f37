"""The client against a real server: what it measures, and that no request is lost from the books."""

import contextlib
import ipaddress
import itertools
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness.config import Slo
from harness.engines import Server
from harness.errors import CellError
from harness.load import LoadPoint
from harness.load.client.connections import Clock, Exchange, PlainConnection
from harness.load.client.requests import make_request
from harness.load.client.schedule import run_schedule
from harness.load.client.sockets import connecting_socket, stamping
from harness.load.client.spool import Planned
from harness.load.client.trace import Asked
from harness.load.metrics import summarize
from harness.load.samples import sample

TOKENS = 6


def run(server, times, *, concurrency=None, tokens=TOKENS, request_timeout_s=5.0, cell_timeout_s=20.0, **options):
    requests = [make_request(n, t, server.model, [1, 2, 3, n], Asked(4, tokens)) for n, t in enumerate(times)]
    schedule = run_schedule(
        server,
        requests,
        concurrency=concurrency,
        request_timeout_s=request_timeout_s,
        cell_timeout_s=cell_timeout_s,
        **options,
    )
    with schedule as recording:
        samples = [sample(trace, asked) for trace, asked in zip(recording.traces, recording.asked, strict=True)]
    result = summarize(samples, point=LoadPoint("throughput", None, len(times)), slo=Slo())
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


def test_a_stall_of_the_client_shows_in_the_intended_send_figures(scripted):
    """Coordinated omission: the requests due during the stall are sent late, and their wait must not vanish."""

    def stall():
        worker = worker_of(scripted)
        os.kill(worker, signal.SIGSTOP)
        time.sleep(0.4)
        os.kill(worker, signal.SIGCONT)

    stalling = threading.Thread(target=stall)
    stalling.start()
    samples, result = run(scripted.server, [0.0, *np.linspace(0.1, 0.4, 20)], tokens=2)
    stalling.join()
    assert result["send_lag_ms_p99"] > 100
    late = max(samples, key=lambda s: s.send_lag_s)
    assert late.token_s[0] - late.intended_s > 0.1
    assert result["ttft_ms_p99"] > result["ttft_from_send_ms_p50"] + 100


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


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


@pytest.mark.parametrize("workers", [2, 3])
def test_the_offered_load_is_the_same_for_any_number_of_workers(scripted, workers):
    times = [0.0, 0.02, 0.04, 0.05, 0.05, 0.2, 0.21]
    samples, result = run(scripted.server, times, workers=workers)
    assert [s.intended_s for s in samples] == times
    assert [s.index for s in samples] == list(range(7))
    assert result["requests_completed"] == 7
    scripted.most_in_flight = 0
    run(scripted.server, [0.0] * 12, workers=workers, concurrency=4, tokens=20)
    assert scripted.most_in_flight == 4


def test_connections_are_kept_and_opened_before_they_are_needed(scripted):
    samples, _ = run(scripted.server, [0.0, 0.3, 0.6])
    assert all(s.connect_s == 0.0 for s in samples)


def test_a_worker_that_dies_is_an_error_of_the_cell(scripted):
    scripted.script = ["silent"]
    killer = threading.Thread(target=lambda: os.kill(worker_of(scripted), signal.SIGKILL))
    killer.start()
    with pytest.raises(CellError, match="load worker 0 ended with exit code -9"):
        run(scripted.server, [0.0])
    killer.join()


def test_no_worker_outlives_its_parent(scripted):
    program = textwrap.dedent(f"""
        from harness.engines import Server
        from harness.load.client.schedule import run_schedule
        from harness.load.client.requests import make_request
        from harness.load.client.trace import Asked
        server = Server("http://127.0.0.1:{scripted.port}", "tiny")
        requests = [make_request(0, 0.0, "tiny", [1], Asked(1, 1))]
        with run_schedule(server, requests, concurrency=None, request_timeout_s=60, cell_timeout_s=60):
            pass
    """)
    scripted.script = ["silent"]
    parent = subprocess.Popen([sys.executable, "-c", program])
    worker = worker_of(scripted, parent.pid)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}/cmdline").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}/cmdline").exists()


def worker_of(scripted, parent: int | None = None) -> int:
    """The one worker that `parent` has, once its first request has come."""
    while not scripted.arrived_s:
        time.sleep(0.005)
    (worker,) = [child for child in children(parent or os.getpid()) if "load.client.worker" in command_line(child)]
    return worker


def test_tls_is_measured_with_the_clock_of_this_process_and_says_so(tmp_path, monkeypatch):
    certificate = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer_over_tls, args=(listener, context), daemon=True).start()
        server = Server(f"https://127.0.0.1:{listener.getsockname()[1]}", "tiny")
        samples, result = run(server, [0.0, 0.2], tokens=3)
        assert (result["requests_completed"], result["timestamps"]) == (2, "user")
        for s in samples:
            assert np.diff(s.token_s) == pytest.approx([0.03, 0.03], abs=0.02)
        monkeypatch.delenv("SSL_CERT_FILE")
        (refused,), result = run(server, [0.0], tokens=3)
        assert result["errors"] == {"connect": 1}
        assert "certificate verify failed" in refused.error.message


def answer_over_tls(listener, context) -> None:
    """Three tokens 30 ms apart to everyone who shakes hands."""

    def serve(raw) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as peer:
            while peer.recv(65536):
                peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for token in range(3):
                    time.sleep(0.03)
                    finish = b'"length"' if token == 2 else b"null"
                    event = b'data: {"choices": [{"text": "t", "finish_reason": %b}]}\n\n' % finish
                    peer.sendall(b"%x\r\n%b\r\n" % (len(event), event))
                peer.sendall(b"0\r\n\r\n")

    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


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

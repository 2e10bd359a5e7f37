"""HTTPS: no packets to stamp, and a certificate to refuse."""

import contextlib
import ipaddress
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness.engines import Server
from tests.integration.load.client_run import run


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

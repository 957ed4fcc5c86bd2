"""TLS to the metadata store: against a server that greets as MySQL does."""

from __future__ import annotations

import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from finetune.errors import ConfigError, RunError
from pipeline.metadata_connection import AUTHORITIES_ENV, METADATA_ENV, connection_from
from pipeline.metadata_tls import check_certificate

CLIENT_SSL = 0x800


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two authorities, and certificates that the first has signed, for this machine and for another."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl")
    folder = tmp_path_factory.mktemp("certificates")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "rsa:2048", "-nodes")
    for name in ("ours", "other"):
        run("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN={name}")
    for name, alternative in (("here", "IP:127.0.0.1"), ("there", "DNS:there")):
        (folder / "ext").write_text(f"subjectAltName={alternative}")
        run("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed = ("-CA", "ours.pem", "-CAkey", "ours.key", "-CAcreateserial", "-extfile", "ext", "-days", "2")
        run("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")
    return folder


@contextmanager
def server(greeting: bytes, certificate: Path | None = None) -> Iterator[tuple[int, list[bytes]]]:
    """Greets once, and goes on with TLS if it has a certificate; gives its port, and what it was sent before that."""
    listening = socket.create_server(("127.0.0.1", 0))
    sent: list[bytes] = []

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(struct.pack("<I", len(greeting)) + greeting)
            if certificate is None:
                return
            sent.append(connection.recv(36, socket.MSG_WAITALL))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
            with suppress(OSError):
                context.wrap_socket(connection, server_side=True).close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1], sent
    finally:
        thread.join(10)
        listening.close()


def greeting(capabilities: int) -> bytes:
    return (
        b"\x0a10.11.2-MariaDB\0" + b"\x01\0\0\0" + b"12345678" + b"\0" + struct.pack("<H", capabilities) + b"\x2d" * 20
    )


def test_a_server_with_a_certificate_of_the_authority_is_the_one(certificates: Path):
    with server(greeting(0xFFFF), certificates / "here.pem") as (port, sent):
        check_certificate("127.0.0.1", port, str(certificates / "ours.pem"))
    (request,) = sent
    assert request[:4] == b"\x20\0\0\x01", "32 bytes, the second packet"
    assert struct.unpack("<I", request[4:8])[0] & CLIENT_SSL


@pytest.mark.parametrize(
    ("authority", "certificate", "why"),
    [("other.pem", "here.pem", "issuer certificate"), ("ours.pem", "there.pem", "not valid for '127.0.0.1'")],
)
def test_another_server_is_refused(certificates: Path, authority: str, certificate: str, why: str):
    with server(greeting(0xFFFF), certificates / certificate) as (port, _), pytest.raises(ConfigError) as caught:
        check_certificate("127.0.0.1", port, str(certificates / authority))
    assert f"127.0.0.1:{port} has no certificate of {authority} for its name: " in str(caught.value)
    assert why in str(caught.value)


def test_a_server_without_tls_is_refused(certificates: Path):
    with server(greeting(0xFFFF & ~CLIENT_SSL)) as (port, _), pytest.raises(ConfigError, match="offers no TLS"):
        check_certificate("127.0.0.1", port, str(certificates / "ours.pem"))


@pytest.mark.parametrize("answer", [b"\xff\x69\x04Host is blocked", b"", b"SSH-2.0-x\0", b"\x0a10.11"])
def test_what_is_no_mysql_server_is_said(certificates: Path, answer: bytes):
    with (
        server(answer) as (port, _),
        pytest.raises(RunError, match="cannot be reached: what answers is no MySQL server"),
    ):
        check_certificate("127.0.0.1", port, str(certificates / "ours.pem"))


def test_a_server_that_is_away_is_said(certificates: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(RunError, match=f"127.0.0.1:{port} cannot be reached"):
        check_certificate("127.0.0.1", port, str(certificates / "ours.pem"))


@pytest.mark.parametrize("name", ["absent.pem", "ours.key"])
def test_a_file_without_certificates_is_said(certificates: Path, name: str):
    with pytest.raises(ConfigError, match=r"FINETUNE_MLMD_CA: got '.*expected a file of certificates in PEM"):
        check_certificate("127.0.0.1", 1, str(certificates / name))


@pytest.mark.parametrize(
    ("database", "name"), [("mlmd", "mlmd"), ("my-db", "`my-db`"), ("a.b", "`a.b`"), ("x`; DROP", "`x``; DROP`")]
)
def test_the_name_of_a_database_is_quoted_where_it_has_to_be(database: str, name: str):
    values = {"host": "db", "port": "3306", "database": database, "user": "u", "password": "p"}
    environ = {variable: values[key] for variable, key in METADATA_ENV.items()}
    connection = connection_from(environ)
    assert connection.mysql.database == name
    assert not connection.mysql.HasField("ssl_options")
    assert connection_from({**environ, AUTHORITIES_ENV: "ca.pem"}).mysql.ssl_options.ca == "ca.pem"

"""Whether a MySQL server is the one that a certificate authority vouches for.

ml-metadata's client encrypts where the server offers to, and looks at no certificate: asked to verify one, it refuses
every server. So it is looked at here, before that client connects.
"""

from __future__ import annotations

import socket
import ssl
import struct
from functools import cache
from pathlib import Path

from finetune.errors import ConfigError, RunError

# Of MySQL's protocol: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
_CLIENT_SSL, _CLIENT_PROTOCOL_41, _CLIENT_SECURE_CONNECTION = 0x800, 0x200, 0x8000
_MAX_PACKET, _UTF8 = 1 << 24, 45
_TIMEOUT_SECONDS = 30.0


@cache
def check_certificate(host: str, port: int, authorities: str) -> None:
    """Connects once, as far as TLS, and leaves again; asks each server once a process.

    Args:
        host: Of the server; its certificate has to name it.
        port: Of the server.
        authorities: File of certificates in PEM.

    Raises:
        ConfigError: There is no such file, or no certificate in it; the server offers no TLS, or has another one.
        RunError: The server cannot be reached.
    """
    try:
        context = ssl.create_default_context(cafile=authorities)
        # From 3.13 on Python wants extensions that the certificates of databases often lack.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            [f"FINETUNE_MLMD_CA: got {authorities!r}; expected a file of certificates in PEM: {error}"]
        ) from error
    where = f"the metadata store at {host}:{port}"
    try:
        with socket.create_connection((host, port), _TIMEOUT_SECONDS) as plain:
            if not _capabilities(_packet(plain)) & _CLIENT_SSL:
                raise ConfigError(
                    [f"FINETUNE_MLMD_CA: {where} offers no TLS. Turn it on there, or leave the variable out"]
                )
            asked = _CLIENT_SSL | _CLIENT_PROTOCOL_41 | _CLIENT_SECURE_CONNECTION
            request = struct.pack("<IIB23x", asked, _MAX_PACKET, _UTF8)
            plain.sendall(struct.pack("<I", len(request) | 1 << 24) + request)
            with context.wrap_socket(plain, server_hostname=host):
                return
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error
        raise ConfigError(
            [f"FINETUNE_MLMD_CA: {where} has no certificate of {Path(authorities).name} for its name: {reason}"]
        ) from error
    except OSError as error:
        raise RunError(f"{where} cannot be reached: {error}") from error


def _packet(connection: socket.socket) -> bytes:
    """The payload of the next packet: three bytes of length, one of its number, then that."""
    header = _exactly(connection, 4)
    return _exactly(connection, int.from_bytes(header[:3], "little"))


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("the server closed the connection before it greeted")
        data += part
    return data


def _capabilities(greeting: bytes) -> int:
    """The lower two bytes of what a server can do, from its greeting; 0 of anything else."""
    end = greeting.find(b"\0")
    # Behind version and name: a number of 4 bytes, 8 of a challenge, one that is 0.
    place = end + 1 + 4 + 8 + 1
    if greeting[:1] != b"\x0a" or end < 0 or len(greeting) < place + 2:
        raise ConnectionError("what answers is no MySQL server, or refuses this machine")
    return int.from_bytes(greeting[place : place + 2], "little")

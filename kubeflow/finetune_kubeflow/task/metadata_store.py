"""The metadata store that a pod's environment names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetune.errors import ConfigError
from finetune_kubeflow.environment import METADATA_ENV


def metadata_connection(environ: Mapping[str, str]) -> Any:
    """The metadata store that the environment names, as ml_metadata's ConnectionConfig.

    Raises:
        ConfigError: Variables are missing, or the port is no number.
    """
    settings = environment(METADATA_ENV, environ)
    host, port, database, user, password = (settings[name] for name in METADATA_ENV)
    if host and not port.isdecimal():
        raise ConfigError([f"FINETUNE_MLMD_PORT: got {port!r}; expected a number, such as 3306"])
    from ml_metadata.proto import metadata_store_pb2

    connection = metadata_store_pb2.ConnectionConfig()
    if not host:
        connection.sqlite.filename_uri = database
        connection.sqlite.connection_mode = connection.sqlite.READWRITE_OPENCREATE
        return connection
    connection.mysql.host, connection.mysql.port, connection.mysql.database = host, int(port), database
    connection.mysql.user, connection.mysql.password = user, password
    return connection


def environment(names: Any, environ: Mapping[str, str]) -> dict[str, str]:
    missing = [
        f"{name}: missing from the environment; a package's tasks declare it" for name in names if name not in environ
    ]
    if missing:
        raise ConfigError(missing)
    return {name: environ[name] for name in names}

"""Where the metadata store is: the one that the environment names, as in a pod, else a file in the output folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2

from finetune.config import Config
from finetune.errors import ConfigError

# Environment variables; a pod gets each from the key of a Secret.
METADATA_ENV = {
    "FINETUNE_MLMD_HOST": "host",
    "FINETUNE_MLMD_PORT": "port",
    "FINETUNE_MLMD_DATABASE": "database",
    "FINETUNE_MLMD_USER": "user",
    "FINETUNE_MLMD_PASSWORD": "password",
}
# Set by `kubernetes.defaults.env` of a config, if at all.
AUTHORITIES_ENV = "FINETUNE_MLMD_CA"


def connection_of(config: Config) -> metadata_store_pb2.ConnectionConfig:
    """Returns the connection of the metadata store that a config's runs have here.

    Raises:
        ConfigError: The environment names a store, and not all that it takes.
    """
    named = any(name in os.environ for name in METADATA_ENV)
    return connection_from(os.environ) if named else sqlite_connection(config.metadata_path)


def connection_from(environ: Mapping[str, str]) -> metadata_store_pb2.ConnectionConfig:
    """Returns the connection that an environment names; an empty host means SQLite, and the database is then a file.

    FINETUNE_MLMD_CA, where it is set, names the certificates that the one of a MySQL server has to be signed by.

    Raises:
        ConfigError: Variables are missing, or the port is no number.
    """
    host, port, database, user, password = variables(METADATA_ENV, environ).values()
    if host and not port.isdecimal():
        raise ConfigError([f"FINETUNE_MLMD_PORT: got {port!r}; expected a number, such as 3306"])
    if not host:
        return sqlite_connection(Path(database))
    connection = metadata_store_pb2.ConnectionConfig()
    # ml-metadata puts the name into SQL as it is.
    name = database if re.fullmatch(r"[0-9A-Za-z_$]+", database) else f"`{database.replace('`', '``')}`"
    connection.mysql.host, connection.mysql.port, connection.mysql.database = host, int(port), name
    connection.mysql.user, connection.mysql.password = user, password
    if environ.get(AUTHORITIES_ENV):
        connection.mysql.ssl_options.ca = environ[AUTHORITIES_ENV]
    return connection


def sqlite_connection(database: Path) -> metadata_store_pb2.ConnectionConfig:
    """Returns the connection of a file, which is made where it is missing."""
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(database)
    connection.sqlite.connection_mode = connection.sqlite.READWRITE_OPENCREATE
    return connection


def is_missing(connection: metadata_store_pb2.ConnectionConfig) -> bool:
    """Tells whether a store is a file that is not there yet; looking into it would make it."""
    return connection.HasField("sqlite") and not Path(connection.sqlite.filename_uri).exists()


def variables(names: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the values of environment variables that a package's tasks declare.

    Raises:
        ConfigError: Some are missing.
    """
    names = list(names)
    missing = [
        f"{name}: missing from the environment; a package's tasks declare it" for name in names if name not in environ
    ]
    if missing:
        raise ConfigError(missing)
    return {name: environ[name] for name in names}

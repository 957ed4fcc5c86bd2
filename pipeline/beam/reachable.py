"""Whether what a config says of Beam's runners is there, as far as this machine can tell. No Beam here."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

from finetune.config import Config
from finetune.config.beam import BeamRunner

SECONDS = 5.0
# Options that hold an address which this machine has to reach, and what answers there.
_ADDRESSES = {
    "flink_master": "the REST address of a Flink cluster",
    "spark_rest_url": "the REST address of a Spark master",
    "job_endpoint": "a job server of Beam",
}


def unreachable(config: Config) -> list[str]:
    """Says what is not there: servers that do not answer, programs that are no files; one sentence each."""
    stages = {"beam": config.beam, **{f"beam.components.{name}": one for name, one in config.beam.components.items()}}
    return [f"{key}.args: {problem}" for key, stage in stages.items() for problem in _problems(stage)]


def _problems(stage: BeamRunner) -> list[str]:
    options = dict(stage.options)
    found = []
    for name, what in _addresses(stage).items():
        problem = _refuses(options[name])
        if problem:
            found.append(f"got --{name}={options[name]}; expected {what}, and {problem}")
    location = options.get("prism_location")
    if location and "://" not in location and not os.path.isfile(location):
        found.append(f"got --prism_location={location}, which is not a file here; expected the program `prism`")
    return found


def _addresses(stage: BeamRunner) -> dict[str, str]:
    """What this machine has to reach; pools of a cluster's workers are beside those, where only they look."""
    options = dict(stage.options)
    pool = {"environment_config": "a pool of SDK workers"}
    external = stage.runner == "prism" and options.get("environment_type", "").upper() == "EXTERNAL"
    return {name: what for name, what in {**_ADDRESSES, **(pool if external else {})}.items() if name in options}


def _refuses(address: str) -> str | None:
    """Why nothing answers at an address, `host:port` or a URL; None where something does."""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        host = port = None
    if not host or not port:
        return "that is not `host:port`"
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except OSError as error:
        return f"nothing answers there ({error.strerror or error})"
    return None

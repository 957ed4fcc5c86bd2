"""Replays whose metadata store is a real MariaDB, also a restored one; no password in package or log. Takes minutes."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import ROOT, finetune

from finetune.artifacts.run_summary import RunSummary
from finetune_kubeflow.replay.run import TaskResult, replay

pytestmark = pytest.mark.long

PASSWORD = "correct-horse-battery"
REFUSAL = "mlmd; the metadata store there cannot be reached, or it refuses this user"


def program(*names: str) -> str:
    """Path of the first of the programs that is there; skips the test where there is none."""
    found = [path for name in names for path in [shutil.which(name, path="/usr/bin:/usr/sbin:/usr/local/bin")] if path]
    if not found:
        pytest.skip(f"no {names[0]}; on Debian: apt-get install mariadb-server")
    return found[0]


@contextmanager
def database(folder: Path) -> Iterator[Path]:
    """A fresh server; yields the folder with its Secret."""
    folder.mkdir()
    server, install, client = program("mariadbd", "mysqld"), program("mariadb-install-db"), program("mariadb")
    data, log = folder / "data", (folder / "mariadb.log").open("wb")
    own = ["--no-defaults", f"--user={getpass.getuser()}", f"--datadir={data}"]
    # Without the test database there are no anonymous users, who would come before ours.
    options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run([install, *own, *options], check=True, stdout=log, stderr=log)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Relative to the data: the path of a socket holds 107 bytes, fewer than pytest's folders may have.
    address = ["--socket=s", f"--port={port}", "--bind-address=127.0.0.1"]
    process = subprocess.Popen([server, *own, *address], stdout=log, stderr=log, cwd=folder)
    try:
        sql = f"CREATE DATABASE mlmd; CREATE USER mlmd@'%' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON mlmd.* TO mlmd@'%';"
        root = [client, "--no-defaults", "--protocol=tcp", "--host=127.0.0.1", f"--port={port}", "--user=root"]
        deadline = time.monotonic() + 60
        while subprocess.run([*root, "-e", "SELECT 1"], stdout=log, stderr=log, check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((folder / "mariadb.log").read_text())
            time.sleep(0.2)
        subprocess.run([*root, "-e", sql], check=True)
        secret = folder / "secrets" / "finetune-metadata"
        secret.mkdir(parents=True)
        values = {"host": "127.0.0.1", "port": str(port), "database": "mlmd", "user": "mlmd", "password": PASSWORD}
        for key, value in values.items():
            (secret / key).write_text(value)
        yield secret.parent
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def documented(command: str, folder: Path) -> None:
    """Runs a command of docs/kubernetes.md, which runs another in the database's pod, beside a server instead."""
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    (line,) = [line.strip() for line in text.splitlines() if "exec" in line and f"{command} --" in line]
    local, replaced = re.subn(r"kubectl -n kubeflow exec (-i )?finetune-mysql-0 -- ", "", line)
    assert replaced == 1
    # What the pod has; the server's socket is where its clients look for it.
    (folder / ".my.cnf").write_text("[client]\nsocket=s\n")
    pod = {"MARIADB_USER": "mlmd", "MARIADB_PASSWORD": PASSWORD, "MARIADB_DATABASE": "mlmd", "HOME": str(folder)}
    local = local.replace("metadata.sql.gz", str(folder.parent / "metadata.sql.gz"))
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", local], env={**os.environ, **pod}, cwd=folder / "data", check=True
    )


def test_metadata_in_mariadb_and_in_one_that_was_restored(tiny: Path, tmp_path: Path):
    volume, package = tmp_path / "volume", tmp_path / "package.yaml"
    shutil.copytree(tiny, volume)
    compiled = finetune("compile", "tiny.yaml", "-o", package, cwd=volume)
    assert compiled.returncode == 0, compiled.stderr

    def run(secrets: Path) -> list[TaskResult]:
        return replay(package, tmp_path / "w", volumes={"finetune": volume}, secrets_dir=secrets)

    with database(tmp_path / "first") as secrets:
        runs = [run(secrets)]
        assert {result.state for result in runs[0]} == {"ran"}, runs[0][-1].log.read_text()[-3000:]
        documented("mariadb-dump", tmp_path / "first")
    assert (volume / "runs" / "tiny" / "pushed" / "1" / "saved_model.pb").is_file()
    with database(tmp_path / "second") as secrets:
        documented("mariadb", tmp_path / "second")
        runs.append(run(secrets))
        assert {state for result in runs[1] for state in result.nodes.values()} == {"cached"}
        (secrets / "finetune-metadata" / "password").write_text(f"not-{PASSWORD}")
        runs.append(run(secrets))
    assert not list(tmp_path.rglob("metadata.sqlite"))
    for refused in runs[-1]:
        assert (refused.state, refused.attempts, refused.exit_code) == ("failed", [1], 1)
        assert REFUSAL in refused.log.read_text()
    assert [refused.name for refused in runs[-1]] == ["image-example-gen-to-data-gate", "run-report"]
    summary = RunSummary.read(max((volume / "runs" / "tiny" / "runs").iterdir()))
    assert summary.status == "failed"
    assert REFUSAL in (summary.error or "")
    logs = list((tmp_path / "w" / "logs").rglob("*.log"))
    assert len(logs) == sum(len(results) for results in runs)
    told = [
        file for place in (volume / "runs", tmp_path / "w" / "outputs") for file in place.rglob("*") if file.is_file()
    ]
    for file in [package, *logs, *told]:
        assert PASSWORD not in file.read_text(errors="replace"), file

"""A replay whose metadata store is a real MariaDB, started here; no password in package or log. Takes minutes."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import finetune

from finetune.artifacts.run_summary import RunSummary
from finetune_kubeflow.replay.run import replay

pytestmark = pytest.mark.long

PASSWORD = "correct-horse-battery"
REFUSAL = "mlmd; the metadata store there cannot be reached, or it refuses this user"


def program(*names: str) -> str:
    """Path of the first of the programs that is there; skips the test where there is none."""
    found = [path for name in names for path in [shutil.which(name, path="/usr/bin:/usr/sbin:/usr/local/bin")] if path]
    if not found:
        pytest.skip(f"no {names[0]}; on Debian: apt-get install mariadb-server")
    return found[0]


@pytest.fixture
def secrets(tmp_path: Path) -> Iterator[Path]:
    """A folder with the Secret of a fresh database server."""
    server, install, client = program("mariadbd", "mysqld"), program("mariadb-install-db"), program("mariadb")
    data, log = tmp_path / "data", (tmp_path / "mariadb.log").open("wb")
    own = ["--no-defaults", f"--user={getpass.getuser()}", f"--datadir={data}"]
    # Without the test database there are no anonymous users, who would come before ours.
    options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run([install, *own, *options], check=True, stdout=log, stderr=log)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Relative to the data: the path of a socket holds 107 bytes, fewer than pytest's folders may have.
    address = ["--socket=s", f"--port={port}", "--bind-address=127.0.0.1"]
    process = subprocess.Popen([server, *own, *address], stdout=log, stderr=log, cwd=tmp_path)
    try:
        sql = f"CREATE DATABASE mlmd; CREATE USER mlmd@'%' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON mlmd.* TO mlmd@'%';"
        root = [client, "--no-defaults", "--protocol=tcp", "--host=127.0.0.1", f"--port={port}", "--user=root"]
        deadline = time.monotonic() + 60
        while subprocess.run([*root, "-e", "SELECT 1"], stdout=log, stderr=log, check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((tmp_path / "mariadb.log").read_text())
            time.sleep(0.2)
        subprocess.run([*root, "-e", sql], check=True)
        secret = tmp_path / "secrets" / "finetune-metadata"
        secret.mkdir(parents=True)
        values = {"host": "127.0.0.1", "port": str(port), "database": "mlmd", "user": "mlmd", "password": PASSWORD}
        for key, value in values.items():
            (secret / key).write_text(value)
        yield secret.parent
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def test_metadata_in_mariadb(tiny: Path, tmp_path: Path, secrets: Path):
    volume, package = tmp_path / "volume", tmp_path / "package.yaml"
    shutil.copytree(tiny, volume)
    compiled = finetune("compile", "tiny.yaml", "-o", package, cwd=volume)
    assert compiled.returncode == 0, compiled.stderr
    runs = [replay(package, tmp_path / "w", volumes={"finetune": volume}, secrets_dir=secrets) for _ in range(2)]
    for results in runs:
        assert results[-1].state != "failed", results[-1].log.read_text()[-3000:]
    assert {result.state for result in runs[0]} == {"ran"}
    assert {state for result in runs[1] for state in result.nodes.values()} == {"cached"}
    assert (volume / "runs" / "tiny" / "pushed" / "1" / "saved_model.pb").is_file()
    assert not list(tmp_path.rglob("metadata.sqlite"))
    (secrets / "finetune-metadata" / "password").write_text(f"not-{PASSWORD}")
    runs.append(replay(package, tmp_path / "w", volumes={"finetune": volume}, secrets_dir=secrets))
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

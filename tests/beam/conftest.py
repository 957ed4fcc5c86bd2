"""Prism, Beam's portable runner, and pools of SDK workers, as processes of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from worker_pools import Pool, accepts, wait_until

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "finetune-pipeline"


@pytest.fixture(scope="session")
def prism() -> str:
    """The path of a Prism of the version of the Beam that is installed; it is built once."""
    beam = version("apache-beam")
    if f"github.com/apache/beam/sdks/v2 v{beam}" not in (ROOT / "tests/beam/prism/go.mod").read_text():
        pytest.skip(f"Beam {beam} needs a Prism of its own version, of which Go's checksum database has none")
    program = CACHE / f"prism-{beam}"
    if not program.exists():
        if not shutil.which("go"):
            pytest.skip("building Prism needs Go")
        subprocess.run([ROOT / "scripts/build_prism.sh", program], check=True)
    return str(program)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Callable[[], Pool]]:
    """Starts pools, and ends what of them is left."""
    pools: list[Pool] = []

    def start(**environment: str) -> Pool:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        folder = tmp_path / f"pool-{len(pools)}"
        folder.mkdir()
        # A pool starts whatever `python` is first on its path.
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        with (tmp_path / f"{folder.name}.log").open("w") as log:
            process = subprocess.Popen(
                ["python", "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"],
                cwd=folder,
                env={"PATH": path, "HOME": str(tmp_path), **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        pools.append(Pool(process, port, folder))
        wait_until(lambda: accepts(port), 60, f"no pool of workers at port {port}")
        return pools[-1]

    yield start
    for one in pools:
        if one.process.poll() is None:
            one.kill()

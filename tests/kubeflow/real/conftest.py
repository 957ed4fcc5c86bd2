"""A real control plane for the tests of this folder; it wants Go, and builds its programs once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import ROOT
from control_plane import NAMESPACE, ControlPlane, wait_for
from go_programs import built

# The namespace of overlays/profile.
PROFILE = "your-profile"
RESTRICTED = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """With the namespaces of runs, which enforce the restricted Pod Security Standard."""
    folder = tmp_path_factory.mktemp("control-plane")
    with ControlPlane(folder, built("kubernetes"), built("etcd") / "server") as running:
        for namespace in (NAMESPACE, PROFILE):
            for command in (["create", "namespace", namespace], ["label", "namespace", namespace, *RESTRICTED]):
                done = running.kubectl(*command)
                assert done.returncode == 0, done.stderr
        wait_for(lambda: running.kubectl("-n", NAMESPACE, "get", "serviceaccount", "default").returncode == 0, 30)
        yield running


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shared volume with the demo's pictures and its backbone."""
    volume = tmp_path_factory.mktemp("digits") / "volume"
    code = "import sys, pathlib; from finetune_cli.demo import prepare; prepare(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, volume / "runs" / "digits"]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    return volume

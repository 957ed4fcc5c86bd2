"""What all tests share. TensorFlow and TFX take most of a minute to import: only tests that need them may pay."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import yaml
from s3_server import ENVIRONMENT, Cable, server

# Imported first of all: it chooses Keras 2 before any test imports TensorFlow.
from finetune.config import Check, Config, load_config
from finetune.errors import ConfigError
from finetune.events import Event, subscribe

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder() -> Iterator[None]:
    """Processes that tests kill leave files in the folder for temporary files; they go with this one."""
    folder = tempfile.mkdtemp(prefix="finetune-tests-")
    os.chmod(folder, 0o755)  # Some tests give up their rights.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real weights and pictures; tests that need it are skipped where it is absent."""
    path = Path(os.environ.get("FINETUNE_REAL_DATA", ROOT / ".." / "shared" / "real")).resolve()
    if not (path / "weights").is_dir():
        pytest.skip(f"no real data at {path}; set FINETUNE_REAL_DATA")
    return path


@pytest.fixture
def heard() -> Iterator[list[Event]]:
    """Every event that is emitted while the test runs."""
    events: list[Event] = []
    with subscribe(events.append):
        yield events


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Config]:
    """Reads a config that is given as a mapping or as YAML."""

    def load(config: dict | str, *overrides: str, checks: Iterable[Check] = ()) -> Config:
        path = tmp_path / "config.yaml"
        path.write_text(config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False))
        return load_config(path, overrides, checks)

    return load


@pytest.fixture
def problems(load: Callable[..., Config]) -> Callable[..., list[str]]:
    """Reads a config that is wrong, and returns what is wrong with it."""

    def problems(config: dict | str, *overrides: str, checks: Iterable[Check] = ()) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(config, *overrides, checks=checks)
        assert caught.value.exit_code == 2
        return caught.value.problems

    return problems


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a disk of so many KiB, at a path or a new one, and gives its folder; skips where that is not allowed."""
    mounted: list[Path] = []

    def make(kib: int, at: Path | None = None) -> Path:
        folder = at or tmp_path / f"disk{len(mounted)}"
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no disk can be mounted here")
        mounted.append(folder)
        return folder

    yield make
    for folder in reversed(mounted):
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=True)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[int]:
    """The port of a server of S3 on loopback."""
    for package in ("moto", "s3fs", "upath"):
        pytest.importorskip(package)
    with server() as port:
        yield port


@pytest.fixture
def s3(s3_server: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cable]:
    """The way to that server, to which everything in the environment points; the bucket `birds` is there, and empty."""
    import s3fs

    cable = Cable(s3_server)
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{cable.port}"}.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem()
    if system.exists("birds"):
        system.rm("birds", recursive=True)
    system.mkdir("birds")
    yield cable
    s3fs.S3FileSystem.clear_instance_cache()
    cable.close()

"""Programs of Kubernetes, etcd and Argo, built with Go once from the modules that `programs/` pins."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"


def built(module: str) -> Path:
    """The folder with the programs that a module's `go.mod` names as tools; built where they are not there.

    The first build takes minutes, and the module proxy. Without Go, or that proxy, the test is skipped.
    """
    source = PROGRAMS / module
    pinned = b"".join((source / name).read_bytes() for name in ("go.mod", "go.sum"))
    folder = _cache() / f"{module}-{hashlib.sha256(pinned).hexdigest()[:12]}"
    if not folder.is_dir():
        # Whole or not at all.
        partial = folder.with_name(f"{folder.name}.{os.getpid()}")
        partial.mkdir(parents=True)
        try:
            _go(module, "build", "-mod=readonly", "-buildvcs=false", "-ldflags=-s -w", "-o", f"{partial}/", "tool")
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def module_folder(module: str, path: str) -> Path:
    """Where the source of a module lies that a `go.mod` of ours requires; fetched where it is not there."""
    return Path(json.loads(_go(module, "mod", "download", "-json", path))["Dir"])


def _go(module: str, *arguments: str) -> str:
    """What a command of Go prints in the folder of a `go.mod`; the test is skipped without Go, or its proxy."""
    go = shutil.which("go") or pytest.skip("no Go on PATH to build the parts of a cluster with")
    done = subprocess.run([go, *arguments], cwd=PROGRAMS / module, capture_output=True, text=True, check=False)
    if done.returncode:
        told = done.stdout + done.stderr
        if "no such host" in told or "dial tcp" in told:
            pytest.skip(f"the module proxy of Go cannot be reached: {told[-200:]}")
        raise RuntimeError(told)
    return done.stdout


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune-pipeline" / "go-programs"

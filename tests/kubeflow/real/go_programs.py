"""Programs of Kubernetes, etcd and Argo, built with Go once from the modules that `programs/` pins."""

from __future__ import annotations

import hashlib
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
    go = shutil.which("go") or pytest.skip("no Go on PATH to build the parts of a cluster with")
    source = PROGRAMS / module
    pinned = b"".join((source / name).read_bytes() for name in ("go.mod", "go.sum"))
    folder = _cache() / f"{module}-{hashlib.sha256(pinned).hexdigest()[:12]}"
    if not folder.is_dir():
        # Whole or not at all.
        partial = folder.with_name(f"{folder.name}.{os.getpid()}")
        partial.mkdir(parents=True)
        command = [go, "build", "-mod=readonly", "-buildvcs=false", "-ldflags=-s -w", "-o", f"{partial}/", "tool"]
        made = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
        if made.returncode:
            shutil.rmtree(partial)
            if "no such host" in made.stderr or "dial tcp" in made.stderr:
                pytest.skip(f"the module proxy of Go cannot be reached: {made.stderr[-200:]}")
            raise RuntimeError(made.stderr)
        partial.rename(folder)
    return folder


def module_folder(module: str, path: str) -> Path:
    """Where the source of a module lies that a `go.mod` of ours requires."""
    go = shutil.which("go") or pytest.skip("no Go on PATH")
    command = [go, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", path]
    return Path(
        subprocess.run(command, cwd=PROGRAMS / module, capture_output=True, text=True, check=True).stdout.strip()
    )


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune-pipeline" / "go-programs"

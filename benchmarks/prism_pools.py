"""Ingest, statistics and Transform of photographs on Prism with two external pools of workers, beside `direct`.

    scripts/test_current.sh python -m benchmarks.prism_pools [--count 6000] [--folder FOLDER] [--prism FILE]

Needs the environment of lane B and a Prism of its Beam's version (`scripts/build_prism.sh`). The pools are processes of
their own in empty working directories; the second serves Transform, the first all else. Seconds are those of the whole
command, imports included.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks.data_side import measure
from benchmarks.synthetic_photographs import write_photographs
from benchmarks.tables import machine, save, table

MODULE = "apache_beam.runners.worker.worker_pool_main"


@contextmanager
def pool(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Starts a pool; gives its address, and a list whose last item is the most memory, MB, that a worker of it had."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    folder.mkdir()
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder.parent)}
    command = ["python", "-m", MODULE, f"--service_port={port}"]
    process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    peaks, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            peaks.append(max(peaks[-1], *map(_peak_mb, _children(process.pid)), 0))

    threading.Thread(target=watch, daemon=True).start()
    try:
        _wait_for(port)
        yield f"localhost:{port}", peaks
    finally:
        ended.set()
        process.kill()
        process.wait()


def main() -> None:
    """Runs both sides and writes the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--count", type=int, default=6000)
    arguments.add_argument("--folder", type=Path, default=Path("runs/benchmarks/prism"))
    arguments.add_argument("--prism", type=Path, required=True)
    given = arguments.parse_args()
    folder, described = given.folder.absolute(), machine()
    write_photographs(folder / "photographs", given.count)
    found = {}
    with tempfile.TemporaryDirectory() as empty, pool(Path(empty, "one")) as one, pool(Path(empty, "two")) as two:
        beams: dict[str, dict[str, Any]] = {"direct": {}, "prism": _on_prism(given.prism, one[0])}
        beams["prism"]["components"] = {"Transform": _on_prism(given.prism, two[0])}
        for name, beam in beams.items():
            with tempfile.TemporaryDirectory(dir=folder) as output:
                backbone = {"name": "SmallCNN", "weights": "random", "image_size": 224}
                config = {"name": "data-side", "output_dir": output, "backbone": backbone, "beam": beam}
                config["data"] = {"root": str(folder / "photographs")}
                file = folder / f"{name}.yaml"
                file.write_text(yaml.safe_dump(config))
                found[name] = measure(file, "Transform", folder / "prism.json")
                found[name]["workers_mb"] = [peaks[-1] for _, peaks in (one, two)] if beam else []
            print(name, json.dumps({**found[name], "digests": None}), flush=True)
    same = found["direct"].pop("digests") == found["prism"].pop("digests")
    rows = [
        (
            name,
            f"{each['seconds']:.0f}",
            ", ".join(f"{node} {seconds:.1f}" for node, seconds in each["nodes"].items() if seconds >= 0.05),
            f"{each['peak_mb']:,}",
            " and ".join(f"{peak:,}" for peak in each["workers_mb"]),
        )
        for name, each in found.items()
    ]
    head = ("runner", "seconds", "nodes", "memory of the launcher, MB", "memory of the pools' largest workers, MB")
    equal = "The files are the same, byte for byte." if same else "**The files differ.**"
    text = (
        f"# Prism beside the direct runner\n\n{described}.\n\n{given.count:,} photographs.\n\n{table(head, rows)}\n\n"
    )
    save("prism", f"{text}{equal}\n\nMade by `benchmarks/prism_pools.py`.", {"machine": described, **found})
    print(text, equal)


def _on_prism(program: Path, address: str) -> dict[str, Any]:
    args = [f"--prism_location={program}", "--environment_type=EXTERNAL", f"--environment_config={address}"]
    return {"runner": "prism", "args": args}


def _wait_for(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("localhost", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    sys.exit(f"no pool of workers came up at port {port}")


def _children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for tasks in lists for child in tasks.read_text().split()]


def _peak_mb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)


if __name__ == "__main__":
    main()

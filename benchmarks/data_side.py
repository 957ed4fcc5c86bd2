"""The data side of the pipeline alone: ingest, or all nodes up to Transform, in a process of its own.

    python -m benchmarks.data_side CONFIG LAST_NODE RESULT.json

Writes `imports_s`, until TensorFlow and TFX are there, `nodes`, seconds of each that ran, `peak_mb`, the largest memory
of one process, and `digests`, the SHA-256 of each file of examples below the folder of its artifact.
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.flowers import ROOT


def measure(config: Path, last: str, result: Path) -> dict[str, Any]:
    """Runs this module; returns what it wrote, and `seconds` in all."""
    result.unlink(missing_ok=True)
    start = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.data_side", str(config), last, str(result)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return {**json.loads(result.read_text()), "seconds": time.monotonic() - start}


def main() -> None:
    """Runs the nodes and writes the figures."""
    config_file, last, result = sys.argv[1:]
    from finetune.config import load_config
    from finetune.events import ComponentFinished, ComponentStarted, Event, subscribe
    from pipeline.local import run_through

    config = load_config(config_file)
    nodes: dict[str, float] = {}
    first: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, ComponentStarted) and not first:
            first.append(time.monotonic() - start)
        if isinstance(event, ComponentFinished) and event.component != "Measure":
            nodes[event.component] = round(event.seconds, 2)

    def digests(outputs: Any) -> dict[str, str]:
        found = {}
        for node in outputs.values():
            for name in ("examples", "transformed_examples"):
                if name in node:
                    for path in sorted(Path(node[name].uri).glob("Split-*/*")):
                        key = f"{name}/{path.relative_to(node[name].uri)}"
                        found[key] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    start = time.monotonic()
    with subscribe(listen):
        examples = run_through(config, last, "Measure", digests, Path(result).parent)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    figures = {"imports_s": round(first[0], 2), "nodes": nodes, "peak_mb": round(peak), "digests": examples}
    Path(result).write_text(json.dumps(figures))


if __name__ == "__main__":
    main()

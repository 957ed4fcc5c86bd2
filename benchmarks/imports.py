"""What commands and nodes import, in seconds of processor time: `python -m benchmarks.imports`.

Each row is a fresh process, so it is what a pod of Kubernetes pays that runs this node alone. Processor time is
measured, the least of the repeats, since wall time says as much about whatever else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.flowers import ROOT

COMMANDS = {
    "`finetune --help`": "import finetune_cli.main",
    "`finetune plan`": "import finetune_cli.main, pipeline.plan, pipeline.checks",
    "`finetune run`, nothing changed": "import finetune_cli.main, finetune_cli.live_view, finetune_cli.summary_view, "
    "pipeline.local, pipeline.checks",
    "TFX's launcher alone, TensorFlow with it": "import finetune, tfx.orchestration.portable.launcher",
    "all components of TFX, as `from tfx.components import Trainer` has them": "import tfx.components",
    "`finetune run`, before the first node": "import finetune, pipeline.dag, pipeline.launch, pipeline.summary",
}
MEASURE = """
import json, resource, sys
{imports}
used = resource.getrusage(resource.RUSAGE_SELF)
heavy = sorted({heavy!r} & {{name.split(".")[0] for name in sys.modules}})
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps([used.ru_utime + used.ru_stime, len(sys.modules), int(status["VmRSS"].split()[0]) / 1024, heavy]))
"""
HEAVY = {"tensorflow", "tf_keras", "keras", "apache_beam", "kubernetes", "keras_tuner", "nltk", "matplotlib", "sklearn"}


def nodes() -> dict[str, str]:
    """Returns the modules that each node of the flowers recipe needs, with what launches it."""
    from tfx.dsl.components.base.base_component import BaseComponent

    from finetune.config import load_config
    from pipeline.dag import build_pipeline, entry_modules

    found = {}
    for node in build_pipeline(load_config(ROOT / "configs" / "flowers.yaml")).components:
        if isinstance(node, BaseComponent):
            classes = (node.executor_spec.executor_class, node.driver_class)
            names = {"pipeline.launch", *entry_modules(node), *(each.__module__ for each in classes)}
            found[node.id] = ", ".join(sorted(names))
    return found


def measured(imports: str, repeats: int) -> list[Any]:
    """Returns seconds, number of modules, MiB of memory, and which heavy packages came with them."""
    code = MEASURE.format(imports=imports, heavy=HEAVY)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    found = []
    for _ in range(repeats):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return min(found)


def main() -> None:
    """Prints the table of docs/speed.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    rows = COMMANDS | {
        f"{node} in a process of its own": f"import finetune, {names}" for node, names in nodes().items()
    }
    print("| what is imported | s | modules | MiB | of these |\n|---|---|---|---|---|")
    for title, imports in rows.items():
        seconds, modules, memory, heavy = measured(imports, repeats)
        print(f"| {title} | {seconds:.1f} | {modules} | {memory:.0f} | {', '.join(heavy) or '-'} |", flush=True)


if __name__ == "__main__":
    main()

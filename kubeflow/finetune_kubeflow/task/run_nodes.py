"""Runs nodes of the DAG in a pod: `python -m finetune_kubeflow.task.run_nodes`, the command of a package's tasks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from finetune.errors import PENDING, REFUSED
from finetune.events import RunEnded, emit
from finetune_kubeflow.package.user_code import CODE_FOLDER, put_on_path
from finetune_kubeflow.task.process import Task, parser, run_task
from pipeline.node_runs import run_nodes
from pipeline.nodes import root_of
from pipeline.run_metadata import pushed_state

PUSHER = "Pusher"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the nodes, again where that may help; the exit code is 0 if all of them ended well or were cached."""
    made = parser("finetune_kubeflow.task.run_nodes", __doc__)
    made.add_argument("--code", action="append", default=[], help="Python files that the nodes import, packed")
    options = made.parse_args(arguments)
    return run_task(options, partial(run, code=options.code))


def run(task: Task, code: Sequence[str] = ()) -> None:
    """Fills in what a package leaves open, and runs the nodes of a task in their order.

    Args:
        task: Of the package.
        code: What the nodes import that is in no image, packed.

    Emits:
        RunEnded: What became of the model, where the nodes end with the Pusher.

    Raises:
        RunError: A node did not run to its end.
    """
    for packed in code:
        put_on_path(packed, Path(root_of(task.nodes), CODE_FOLDER))
    run_nodes(task.nodes, task.connection, task.place, task.run_id, task.ended)
    if PUSHER in [node.pipeline_node.node_info.id for node in task.nodes.nodes]:
        state = pushed_state(task.connection, task.run_id, f"{task.nodes.pipeline_info.id}.{PUSHER}")
        emit(RunEnded(exit_code={"pushed": 0, "refused": REFUSED, "pending": PENDING}[state]))


if __name__ == "__main__":
    sys.exit(main())

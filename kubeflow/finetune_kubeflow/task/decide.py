"""Decides in a pod whether a run trains: `python -m finetune_kubeflow.task.decide`, what `finetune retrain` does first.

Its nodes are those that run before new examples are compared; a run that follows finds them done.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from evaluation.retraining.decision import Examined
from finetune.artifacts.retrain_decision import Action, RetrainDecision
from finetune.config import Config
from finetune.events import Note, RunEnded, emit
from finetune_kubeflow.environment import NOWHERE
from finetune_kubeflow.package.packed import unpack_config
from finetune_kubeflow.task.process import Task, parser, run_task
from pipeline.node_runs import nodes_then, run_nodes
from pipeline.retraining.examination import Outputs, examine
from pipeline.retraining.lineage import Lineage
from pipeline.retraining.retrain import START_FROM, file_decision
from pipeline.run_ids import new_run_id
from pipeline.run_metadata import RunMetadata, open_store


def main(arguments: Sequence[str] | None = None) -> int:
    """Decides, again where that may help; the exit code is 0, whatever was decided."""
    made = parser("finetune_kubeflow.task.decide", __doc__)
    made.add_argument("--config", required=True, help="of the pipeline, as `finetune compile` packs it")
    made.add_argument("--action", required=True, type=Path, help="file that gets the action")
    made.add_argument(
        "--start-from", required=True, type=Path, help=f"file that gets `training.start_from`; `{NOWHERE}` trains not"
    )
    options = made.parse_args(arguments)
    return run_task(options, partial(decide, options))


def decide(options: argparse.Namespace, task: Task) -> None:
    """Decides, unless an earlier attempt has, and writes what follows.

    Emits:
        RunEnded: Where nothing follows.

    Raises:
        DataError: The data cannot be listed.
        RunError: A node failed for another reason than the data.
    """
    config = unpack_config(options.config, task.place.values)
    decision = _decided(config, task)
    for reason in decision.decisive:
        emit(Note(text=f"{decision.action}: {reason.sentence}"))
    for file, text in ((options.action, decision.action), (options.start_from, _start(decision.action))):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    if not decision.trains:
        emit(RunEnded(exit_code=decision.exit_code))


def _decided(config: Config, task: Task) -> RetrainDecision:
    before = Lineage(open_store(task.connection)).of_run(task.run_id)
    if before:
        return before.decision

    def through(
        config: Config, last: str, component: str, work: Callable[[Outputs], Examined], folder: Path
    ) -> Examined:
        return nodes_then(
            lambda ended: run_nodes(task.nodes, task.connection, task.place, task.run_id, ended, last),
            component,
            lambda: work(RunMetadata(task.connection, task.run_id).outputs()),
            "The traceback is above.",
        )

    return file_decision(config, new_run_id(), partial(examine, through=through), task.run_id).decision


def _start(action: Action) -> str:
    starts: Mapping[Action, str] = START_FROM
    return starts.get(action, NOWHERE)


if __name__ == "__main__":
    sys.exit(main())

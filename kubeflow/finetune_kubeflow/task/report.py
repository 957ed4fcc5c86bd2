"""Tells of a run in a pod, whichever way it ended: `python -m finetune_kubeflow.task.report`, the last task of each.

It leaves on the volume what a local run leaves, and shows the same in KFP's interface, of nodes from the cache too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Literal

import ml_metadata as mlmd

from finetune import buckets
from finetune.artifacts.report_data import ReportData
from finetune.artifacts.retrain_decision import RetrainDecision
from finetune.config import Config
from finetune.errors import DataRefused, FinetuneError
from finetune.events import RunEnded, emit
from finetune.run_time import Place
from finetune_kubeflow.package.packed import unpack_config
from finetune_kubeflow.task.kfp_outputs import Shown, confusion_matrix, metrics, write_outputs
from finetune_kubeflow.task.process import Task, parser, run_task
from pipeline.local import end_well
from pipeline.notify.delivery import send
from pipeline.notify.message import message_of
from pipeline.plan import node_ids
from pipeline.retraining.lineage import Lineage
from pipeline.retraining.retrain import started_from
from pipeline.run_ids import new_run_id, start_of
from pipeline.run_metadata import RunMetadata, end_executions, open_store
from pipeline.saved_report import REPORT_FILE, save_report
from pipeline.summary import collect
from pipeline.tracking import tell_of_run
from registry.versions import CARD_TEXT_FILE, read_record


def main(arguments: Sequence[str] | None = None) -> int:
    """Tells of the run, again where that may help; the exit code is 0, whatever became of the run, if that is known."""
    made = parser("finetune_kubeflow.task.report", __doc__)
    made.add_argument("--config", required=True, help="of the pipeline, as `finetune compile` packs it")
    made.add_argument("--executor-input", required=True, help="what KFP says of the task's outputs, as JSON")
    options = made.parse_args(arguments)
    return run_task(options, partial(report, options), partial(report_unknown, options))


def report(options: argparse.Namespace, task: Task) -> None:
    """Writes summary, report and outputs, tells tracker and webhook, and lets `keep` remove what it may.

    Emits:
        RunEnded: What became of the run.
    """
    config = unpack_config(options.config, task.place.values)
    lineage = Lineage(open_store(task.connection))
    # Whoever worked on a node is gone.
    end_executions(task.connection, task.run_id)
    filed = lineage.of_run(task.run_id)
    if filed and not filed.trains:
        folder, data = filed.folder, ReportData.read(filed.folder)
    else:
        folder, data = _of_run(config, task, filed.decision if filed else None)
        save_report(folder, data)
        data = tell_of_run(config, data, folder, RunMetadata(task.connection, task.run_id).outputs())
        if filed and data.summary.status != "failed":
            lineage.end(filed.id, data.summary.status)
    write_outputs(options.executor_input, shown(folder, data))
    emit(RunEnded(exit_code=data.summary.exit_code))
    send(config.notify, config.output_path, message_of(data.summary))
    end_well(config, cleans=config.keep.is_set and data.summary.error is None and not _another_runs(task))


def report_unknown(options: argparse.Namespace, place: Place, cause: str) -> None:
    """Writes summary, report and outputs, and tells the webhook, of a run whose metadata nobody can read.

    Args:
        options: Of the task.
        place: Where it runs.
        cause: Why the metadata store cannot be read.
    """
    config, name = unpack_config(options.config, place.values), new_run_id()
    folder = _folder_of(config, name)
    error = f"what became of the run cannot be said. {cause}"
    data = _without_log(collect(config, name, folder, {}, [], 0.0, error))
    save_report(folder, data)
    write_outputs(options.executor_input, shown(folder, data))
    send(config.notify, config.output_path, message_of(data.summary))


def shown(folder: Path, data: ReportData) -> dict[str, Shown]:
    """Returns what KFP's interface shows of a run, by output.

    Args:
        folder: Has the page of the report.
        data: Of the report.
    """
    done = data.summary
    version = done.pushed_model or done.pending_model
    card = buckets.folder(version) / CARD_TEXT_FILE if version else None
    no_card = f"# {data.title}\n\nNo model came of this run, which ended as `{done.status}`: the report says why.\n"
    model = {"framework": "TensorFlow", "outcome": done.status, **({"folder": version} if version else {})}
    return {
        "report": Shown((folder / REPORT_FILE).read_text(encoding="utf-8")),
        "metrics": metrics(done.metrics),
        "confusion_matrix": confusion_matrix(data.classes, data.confusion),
        "model_card": Shown(card.read_text(encoding="utf-8") if card and card.is_file() else no_card),
        "model": Shown(read_record(buckets.folder(version)).text() if version else "", model),
    }


def _of_run(config: Config, task: Task, decision: RetrainDecision | None) -> tuple[Path, ReportData]:
    """Collects what the nodes left; returns the folder of the run, and the data of its report."""
    if decision:
        config = started_from(config, decision)
    metadata, nodes = RunMetadata(task.connection, task.run_id), node_ids(config)
    name = metadata.folder()
    folder = _folder_of(config, name)
    began = start_of(name)
    seconds = (datetime.now(timezone.utc) - began).total_seconds() if began else 0.0
    components = [one for one in metadata.components() if one.id in nodes]
    missing = set(nodes) - {one.id for one in components if one.state != "failed"}
    error, code = failure_of(missing, nodes, *metadata.failure())
    ending: Literal["refused"] | None = "refused" if error and code == DataRefused.exit_code else None
    data = collect(config, name, folder, metadata.outputs(), components, seconds, error, ending, decision)
    return folder, _without_log(data)


def _folder_of(config: Config, name: str) -> Path:
    folder = config.output_path / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _without_log(data: ReportData) -> ReportData:
    """The same; the logs are KFP's."""
    return data.model_copy(update={"summary": data.summary.model_copy(update={"log_file": ""})})


def failure_of(missing: Collection[str], nodes: Sequence[str], said: str, code: int) -> tuple[str | None, int]:
    """Returns why a run failed, and the exit code of that; None and 0 for one that did not.

    Args:
        missing: The nodes that did not end well.
        nodes: All, in their order.
        said: By the task that failed last; one that was tried again with success may have said it.
        code: Its exit code.
    """
    first = next((node for node in nodes if node in missing), None)
    if first is None:
        return None, 0
    of = said.partition(":")[0]
    if said and (of in missing or of not in nodes):
        return said, code
    text = (
        f"{first}: did not run to its end, and its task left no word of why. KFP's interface has the state of its pod; "
        "memory is the usual cause"
    )
    return text, FinetuneError.exit_code


def _another_runs(task: Task) -> bool:
    """Whether a node of any run is at work; what it has read may not go."""
    going_on = mlmd.ListOptions(filter_query="last_known_state = RUNNING", limit=1)
    return bool(open_store(task.connection).get_executions(list_options=going_on))


if __name__ == "__main__":
    sys.exit(main())

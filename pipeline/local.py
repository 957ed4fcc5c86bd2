"""Runs the DAG on this machine, and says what is going on."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from finetune.artifacts.retrain_decision import RetrainDecision
from finetune.artifacts.run_summary import ComponentRun, RunSummary
from finetune.config import Config
from finetune.errors import ConfigError, DataRefused, FinetuneError, RunError
from finetune.events import Note, RunStarted, emit, lines_to, subscribe
from finetune.file_stats import stats_of
from pipeline.beam.reachable import unreachable
from pipeline.only_run import only_run
from pipeline.plan import node_ids
from pipeline.run_ids import new_run_id
from pipeline.saved_report import LOG_FILE, save_report
from pipeline.tasks import check_champion
from pipeline.tracking import tell_of_run
from pipeline.unchanged import Inputs, changed_unseen, held_answer, inputs_of, remember

UNSEEN = (
    "data.root: modes, owners or inodes of files are other than in the latest run, and all sizes and times the same, "
    "by which the ingest knows pictures. Where other pictures took their place, touch those and run again."
)

# The node that checks the data, and the one that searches: commands end with each of them.
GATE, TUNER = "DataGate", "Tuner"
_ENDINGS: dict[str, Literal["checked", "tuned"]] = {GATE: "checked", TUNER: "tuned"}

_Result = TypeVar("_Result")


def run_pipeline(
    config: Config, verify: bool = False, decision: RetrainDecision | None = None, run_id: str | None = None
) -> RunSummary:
    """Runs everything that is not cached, and returns the summary, also written beside `report.html`.

    Where nothing has changed since an earlier run, its summary is returned at once. Nothing that a component logs
    reaches the terminal; it goes to `log.txt` in the run's folder.

    Args:
        config: Of the pipeline.
        verify: Whether to compare the bytes of the data, where otherwise sizes, times and inodes tell.
        decision: That it follows from; None where a person has asked for the run.
        run_id: Of the decision; None for a new one.

    Raises:
        RunError: Another run holds the output folder, it cannot be written, or the champion is of another task.
    """
    start = time.monotonic()
    with only_run(config.output_path):
        check_champion(config)
        inputs = inputs_of(config, verify)
        held = held_answer(config, inputs)
        if held is None:
            if problems := unreachable(config):
                raise RunError("\n".join(problems))
            return _run(config, verify, inputs, decision=decision, run_id=run_id)
        emit(Note(text=f"nothing has changed since run {held.run_id}; its report: {held.report}"))
        cached = [ComponentRun(id=component.id, seconds=0, state="cached") for component in held.components]
        seconds = round(time.monotonic() - start, 2)
        return held.model_copy(update={"components": cached, "seconds": seconds, "decision": decision})


def check_data(config: Config) -> RunSummary:
    """Runs everything up to the checks of the data that is not cached, and returns the summary as `run_pipeline` does.

    Raises:
        ConfigError: Every check is off.
        RunError: Another run holds the output folder, or it cannot be written.
    """
    if GATE not in node_ids(config):
        raise ConfigError(["data.checks: got `off` for every check; expected one at least that can find something"])
    with only_run(config.output_path):
        return _run(config, False, inputs_of(config, False), GATE)


def tune(config: Config) -> RunSummary:
    """Runs everything up to the Tuner that is not cached, and returns the summary as `run_pipeline` does.

    Raises:
        ConfigError: There is nothing to search.
        RunError: Another run holds the output folder, or it cannot be written.
    """
    if not config.tuning.is_on:
        raise ConfigError(
            [
                "tuning.space: missing; expected keys to search, such as "
                "{training.phases[0].learning_rate: {min: 1e-4, max: 1e-2, log: true}}"
            ]
        )
    with only_run(config.output_path):
        return _run(config, False, inputs_of(config, False), TUNER)


def _run(
    config: Config,
    verify: bool,
    inputs: Inputs,
    last: str | None = None,
    decision: RetrainDecision | None = None,
    run_id: str | None = None,
) -> RunSummary:
    """Runs the nodes up to `last`, or all."""
    run_id = run_id or new_run_id()
    run_dir = config.output_path / "runs" / run_id
    with _logs_to(run_dir / LOG_FILE):
        emit(RunStarted(components=tuple(_nodes_to(config, last)), log_file=str(run_dir / LOG_FILE)))
        start = time.monotonic()
        if changed_unseen(config, inputs):
            emit(Note(text=UNSEEN, level="warning"))
        # TensorFlow and TFX are imported here, after the log has its file and the view is on the screen.
        emit(Note(text="loading TensorFlow and TFX"))
        from pipeline import summary
        from pipeline.metadata_connection import connection_of
        from pipeline.node_runs import own_error, readable
        from pipeline.run_metadata import RunMetadata

        metadata = RunMetadata(connection_of(config), run_id)
        components: list[ComponentRun] = []
        error: str | None = None
        ending: Literal["checked", "tuned", "refused"] | None = _ENDINGS[last] if last else None
        # By now the clock may have gone on since the data came.
        inputs = inputs if inputs.settled else inputs_of(config, verify)
        try:
            _run_nodes(config, run_id, components, last)
        except Exception as failure:
            logging.getLogger(__name__).exception("run %s failed", run_id)
            error = readable(failure, components, _whole_story(run_dir / LOG_FILE), config.metadata_path)
            ending = "refused" if isinstance(own_error(failure), DataRefused) else None
        seconds = time.monotonic() - start
        outputs, pushed = metadata.outputs(), stats_of(config.push_path).digest
        data = summary.collect(config, run_id, run_dir, outputs, components, seconds, error, ending, decision)
        save_report(run_dir, data)
        done = tell_of_run(config, data, run_dir, outputs).summary
        if error is None and last is None and done.status != "failed" and metadata.champion_stays(config.push_path):
            remember(config, run_dir, inputs, pushed, outputs)
        end_well(config, cleans=error is None and config.keep.is_set)
    return done


def end_well(config: Config, cleans: bool) -> None:
    """Brings the history up to date and removes what `keep` lets go; a run that has its answer does not fail for it."""
    from pipeline.clean.remove import clean_while_alone
    from pipeline.history.collect import save_history

    try:
        if not cleans:
            save_history(config)
        elif freed := clean_while_alone(config).bytes:
            emit(Note(text=f"keep: {freed / 1e6:,.1f} MB of earlier runs are removed"))
    except (FinetuneError, OSError) as error:
        emit(Note(text=f"history and keep: {error}", level="warning"))


def run_through(
    config: Config,
    last: str,
    component: str,
    work: Callable[[Mapping[str, Mapping[str, Any]]], _Result],
    folder: Path,
) -> _Result:
    """Runs the nodes up to one that are not cached, then work of our own on what they left, and returns its result.

    Args:
        config: Of the pipeline.
        last: Id of the last node to run.
        component: What the live view calls the work.
        work: Gets the output artifacts of each node, by output name.
        folder: Gets the log.

    Raises:
        RunError: A node or the work failed, or another run holds the output folder.
        FinetuneError: From `work`, as it is.
    """
    run_id = new_run_id()
    log_file = folder / f"{run_id}.log"
    with only_run(config.output_path), _logs_to(log_file):
        emit(RunStarted(components=(*_nodes_to(config, last), component), log_file=str(log_file)))
        emit(Note(text="loading TensorFlow and TFX"))
        from pipeline.metadata_connection import connection_of
        from pipeline.node_runs import nodes_then
        from pipeline.run_metadata import RunMetadata

        return nodes_then(
            lambda ended: _run_nodes(config, run_id, ended, last),
            component,
            lambda: work(RunMetadata(connection_of(config), run_id).outputs()),
            _whole_story(log_file),
            config.metadata_path,
        )


def _nodes_to(config: Config, last: str | None) -> list[str]:
    nodes = node_ids(config)
    return nodes[: nodes.index(last) + 1] if last else nodes


def _whole_story(log_file: Path) -> str:
    return f"The log has the whole story: {log_file}"


def _run_nodes(config: Config, run_id: str, components: list[ComponentRun], last: str | None = None) -> None:
    """Runs the nodes up to `last`, or all; `components` gets each as it ends."""
    from pipeline.dag import compile_ir
    from pipeline.metadata_connection import connection_of
    from pipeline.node_runs import run_nodes
    from pipeline.nodes import place_at

    run_nodes(compile_ir(config), connection_of(config), place_at(Path.cwd()), run_id, components, last)


@contextmanager
def _logs_to(path: Path) -> Iterator[None]:
    """Sends what TFX, Beam and TensorFlow's C++ print to a file; the console of the live view keeps the terminal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    terminal = os.dup(2)
    log = path.open("a", encoding="utf-8", errors="replace")
    os.dup2(log.fileno(), 2)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    try:
        with subscribe(lines_to(log)):
            yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        os.dup2(terminal, 2)
        os.close(terminal)
        with suppress(OSError):  # A full disk takes no last lines, and is told of elsewhere.
            log.close()

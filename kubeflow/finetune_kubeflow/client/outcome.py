"""What became of a run, from the logs of its tasks: KFP knows that a task failed, and not that a gate refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from finetune.errors import FinetuneError, RunError
from finetune.events import RunEnded, from_line


def exit_code_in(log: str) -> int | None:
    """The last answer of a run in a task's log, as the exit code of `finetune run`; None where there is none."""
    events = [event for event in map(from_line, log.splitlines()) if isinstance(event, RunEnded)]
    return events[-1].exit_code if events else None


def pods_of(run: Any) -> list[str]:
    """The pods of a run (KFP's V2beta1Run), those that ended last first."""
    details = (run.run_details.task_details if run.run_details else None) or []
    in_order = sorted(details, key=lambda task: str(task.end_time or ""), reverse=True)
    names = [name for task in in_order for name in (task.pod_name, *(one.pod_name for one in task.child_tasks or []))]
    return list(dict.fromkeys(filter(None, names)))


def exit_code_of(succeeded: bool, logs: Iterable[str]) -> int:
    """The exit code that `finetune run` would have had.

    Args:
        succeeded: Whether the run did, to KFP.
        logs: Of its pods, those that ended last first.

    Raises:
        RunError: The run succeeded, and no log says what became of the model.
    """
    for log in logs:
        code = exit_code_in(log)
        # What failed first may have been tried again with success.
        if code is not None and (code != 0 or succeeded):
            return code
    if succeeded:
        raise RunError(
            "the run succeeded, and whether its model was pushed cannot be said: KFP has no log of the task with the "
            "Pusher any more. push.directory has what was pushed."
        )
    return FinetuneError.exit_code

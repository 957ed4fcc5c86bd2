"""Has a webhook told how a piece of work ended, whichever way it did."""

from __future__ import annotations

from collections.abc import Callable

from finetune.artifacts.run_summary import RunSummary
from finetune.config import Config
from finetune.errors import FinetuneError
from pipeline.notify.delivery import send
from pipeline.notify.message import failure_of, message_of


def told(config: Config, work: Callable[[Config], RunSummary]) -> RunSummary:
    """Does work on a config, sends what became of it where `notify.url` says to, and returns its summary.

    What the work raises is sent and raised; a process that is told to end sends nothing.
    """
    try:
        summary = work(config)
    except Exception as error:
        ours = isinstance(error, FinetuneError)
        code = error.exit_code if isinstance(error, FinetuneError) else FinetuneError.exit_code
        cause = str(error) if ours else f"{type(error).__name__}: {error}"
        send(config.notify, config.output_path, failure_of(config.name, cause, code))
        raise
    send(config.notify, config.output_path, message_of(summary))
    return summary

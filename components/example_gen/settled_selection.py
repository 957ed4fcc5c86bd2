"""Decides about every file for good: what is used keeps its split in later spans, and a stop leaves its report."""

from __future__ import annotations

from collections.abc import Sequence

from components.example_gen.assignments import Assignments
from components.example_gen.files import FileRecord
from components.example_gen.layouts import Listing
from components.example_gen.replay import Replay
from components.example_gen.selection import Selection, select_examples, stop_error
from components.example_gen.settings import IngestSettings
from components.example_gen.tasks import TASKS
from finetune.artifacts.ingest_report import StoppedIngestReport


def select(listing: Listing, records: Sequence[FileRecord], settings: IngestSettings) -> Selection:
    """Decides about every file; of data in spans, with what earlier runs have kept.

    Args:
        listing: What was to be read.
        records: The listing's files after reading.
        settings: Of the ingest.

    Raises:
        DataError: The data cannot be trained on; the message says why.
        RunError: The splits cannot be kept.
    """
    in_spans = settings.assignments_dir is not None and listing.spans
    # Groups that are named later were divided before: another column cuts anew, as another salt does.
    way = "\n".join([settings.split_salt, *([settings.group_column] if settings.group_column else [])])
    assignments = Assignments(settings.assignments_dir or "", way) if in_spans else None
    replay = Replay(**settings.replay) if settings.replay else None  # type: ignore[arg-type]  # the config has checked it
    earlier = {span.name for span in listing.spans[: -int(settings.window)]} if replay else set()
    while True:
        known = assignments.known if assignments else None
        selection = select_examples(
            listing, records, settings.max_bad_fraction, TASKS[settings.task], known, replay, earlier
        )
        report_path = None
        if settings.report_dir:
            report = StoppedIngestReport.model_validate(selection.report.plain())
            report_path = str(report.write(settings.report_dir))
        if selection.problems:
            raise stop_error(selection, report_path)
        if assignments is None or assignments.keep(selection.settled):
            return selection
        assignments.read()

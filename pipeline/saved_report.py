"""A run's report data as it is saved, and the HTML page made from it, at the end of a run or any time later."""

from __future__ import annotations

from pathlib import Path

from finetune.artifacts.report_data import ReportData
from finetune.errors import RunError
from finetune.files import write_text

# In a run's folder, beside the artifacts of its summary and its report.
REPORT_FILE = "report.html"
LOG_FILE = "log.txt"


def save_report(run_dir: Path, data: ReportData) -> None:
    """Writes the run's summary, the data of its report, and the page."""
    data.summary.write(run_dir)
    data.write(run_dir)
    _write_page(run_dir, data)


def rebuild_report(run_dir: Path) -> str:
    """Writes `report.html` anew and returns its path; see `read_report`."""
    found, data = read_report(run_dir)
    _write_page(found, data)
    return str(found / REPORT_FILE)


def read_report(run_dir: Path) -> tuple[Path, ReportData]:
    """The folder and the report data of a run, given by its folder or an output folder, of which the latest is taken.

    Raises:
        RunError: There is no run in it, or its data cannot be read.
    """
    candidates = [run_dir, *sorted(run_dir.glob("runs/*"), reverse=True)]
    found = next((folder for folder in candidates if ReportData.path(folder).is_file()), None)
    if found is None:
        raise RunError(f"RUN_DIR: got {str(run_dir)!r}; expected a run's folder, such as runs/flowers/runs/<run id>.")
    return found, ReportData.read(found)


def _write_page(run_dir: Path, data: ReportData) -> None:
    from pipeline.report.page import render

    # File names may hold bytes that are not UTF-8; they show as escapes.
    write_text(run_dir / REPORT_FILE, render(data), errors="backslashreplace")

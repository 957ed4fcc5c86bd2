"""A run's report data as it is saved, and the HTML page made from it, at the end of a run or any time later."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from finetune.errors import RunError

REPORT_FILE = "report.html"
REPORT_DATA_FILE = "report.json"


def save_report(run_dir: Path, report_data: dict[str, Any]) -> None:
    """Writes the data as `report.json` and the page as `report.html`."""
    write_json(run_dir / REPORT_DATA_FILE, report_data)
    _write_page(run_dir, report_data)


def rebuild_report(run_dir: Path) -> str:
    """Writes `report.html` anew and returns its path.

    Args:
        run_dir: A run's folder, or an output folder, of which the latest run is taken.

    Raises:
        RunError: There is no run in it.
    """
    found, report_data = read_report(run_dir)
    _write_page(found, report_data)
    return str(found / REPORT_FILE)


def read_report(run_dir: Path) -> tuple[Path, dict[str, Any]]:
    """The folder and the report data of a run.

    Args:
        run_dir: A run's folder, or an output folder, of which the latest run is taken.

    Raises:
        RunError: There is no run in it.
    """
    candidates = [run_dir, *sorted(run_dir.glob("runs/*"), reverse=True)]
    found = next((folder for folder in candidates if (folder / REPORT_DATA_FILE).is_file()), None)
    if found is None:
        raise RunError(f"RUN_DIR: got {str(run_dir)!r}; expected a run's folder, such as runs/flowers/runs/<run id>.")
    return found, json.loads((found / REPORT_DATA_FILE).read_text(encoding="utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Writes JSON so that a reader sees all of it or the file that was there before."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def _write_page(run_dir: Path, report_data: dict[str, Any]) -> None:
    from pipeline.report import write_report

    samples = []
    for sample in report_data["samples"]:
        path = Path(sample["image"]) if "image" in sample else None
        image = path.read_bytes() if path and path.is_file() else b""
        samples.append({**sample, "image": image, "correct": sample["correct"]})
    write_report({**report_data, "samples": samples}, str(run_dir / REPORT_FILE))

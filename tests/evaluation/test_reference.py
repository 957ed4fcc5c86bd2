"""The generated list of metrics is that of the table."""

from pathlib import Path

from evaluation.metrics import METRICS
from evaluation.reference import metrics_reference


def test_the_list_of_metrics_is_up_to_date():
    page = Path(__file__).parents[2] / "docs" / "metrics.md"
    assert page.read_text(encoding="utf-8") == metrics_reference(), "run `make docs`"


def test_every_metric_is_in_the_list():
    assert all(f"| `{name}` |" in metrics_reference() for name in METRICS)

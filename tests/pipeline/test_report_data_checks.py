"""The report's section on the data shows findings and suspects, and takes what a file name says as text."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from finetune.artifacts.data_findings import DataFinding, DataFindings, ShownExample, ShownSuspect
from finetune.artifacts.report_data import ReportData
from finetune.artifacts.run_summary import RunSummary
from pipeline.report import page
from pipeline.report.data_checks import checks
from pipeline.report.verdict import next_steps, verdict


def finding(check: str, value: float | None, **changes: object) -> DataFinding:
    """What a check with the bound 5 % found."""
    found = value is not None and value > 0.05
    fields = {"label": check.replace("_", " "), "action": "warn", "measures": "share of it", "share": True}
    why = "" if value is not None else "there is nothing"
    return DataFinding(check=check, value=value, bound=0.05, found=found, why_not=why, **{**fields, **changes})


def findings(folder: Path) -> DataFindings:
    """Three checks, of which the last found something."""
    Image.new("RGB", (8, 8), "red").save(folder / "a.jpg")
    shown = ShownExample(path="x/<b>&.jpg", split="train", label="a", image=str(folder / "a.jpg"))
    told = ShownExample(path="t.csv:3", split="val", label="b", text="some <i>text</i>")
    return DataFindings(
        findings=[
            finding("fine", 0.01),
            finding("idle", None),
            finding("bad", 0.2, action="drop", dropped=3, suspects=40, advice="Mend it."),
        ],
        suspects={"bad": [ShownSuspect(examples=[shown, told], reason="looks like <b>", suggested="b")]},
        dropped=["x/1.jpg"],
        files=["label_errors.csv"],
    )


def summary(status: str, found: DataFindings, error: str | None = None) -> RunSummary:
    """A run that ended so."""
    return RunSummary(run_id="1", name="p", status=status, error=error, data_checks=found.findings)


def test_what_was_found_comes_first_and_what_could_not_be_judged_last(tmp_path):
    view = checks(findings(tmp_path))
    assert view is not None
    assert [(row["finding"].check, row["state"]) for row in view["rows"]] == [
        ("bad", "found"),
        ("fine", "in order"),
        ("idle", "not judged"),
    ]
    assert [group["finding"].check for group in view["suspects"]] == ["bad"]
    assert checks(None) is None


def test_the_page_shows_suspects_and_escapes_what_they_are_called(tmp_path):
    found = findings(tmp_path)
    data = ReportData(title="p", summary=summary("checked", found), data_findings=found)
    html = page.render(data)
    for text in ("Data checks", "20.0%", "5.0%", "Mend it.", "the first 1 of 40", "label_errors.csv", "x/1.jpg"):
        assert text in html, text
    assert "data:image/jpeg;base64," in html
    assert "looks like &lt;b&gt;" in html
    assert "some &lt;i&gt;text&lt;/i&gt;" in html
    assert "<i>text" not in html
    assert 'id="gates"' not in html, "it was to reach nothing but the data"


def test_the_outcome_of_a_check_alone_and_of_refused_data_is_told(tmp_path):
    found = findings(tmp_path)
    outcome = verdict(summary("checked", found))
    assert (outcome.word, outcome.tone, outcome.reason) == ("Checked", "warn", "1 check of the data found something")
    assert outcome.sentences[0].startswith("bad: 20.0%, at most 5.0% expected")
    clean = DataFindings(findings=[finding("fine", 0.01)])
    assert verdict(summary("checked", clean)).tone == "good"
    refused = verdict(summary("refused", found, "DataGate: data.checks.bad: 20.0%"))
    assert refused.sentences == ("DataGate: data.checks.bad: 20.0%", "Nothing was trained.")
    assert "suspects" in next_steps(summary("refused", found, "x"))[0]


def test_a_run_of_the_version_before_has_no_such_section():
    data = ReportData(title="p", summary=RunSummary(run_id="1", status="failed", error="x"))
    assert 'id="checks"' not in page.render(data)

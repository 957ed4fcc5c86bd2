"""What the report shows of the evaluation, made from real findings; and the whole page in a real browser."""

from __future__ import annotations

import functools
import html as html_module
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.disagreement import contrast, examples_to_show
from evaluation.evidence import CANDIDATE, CHAMPION, TestSet
from evaluation.scores import score
from evaluation.verdict import Tfma, findings, judge_all
from finetune.artifacts.findings import Findings, GateResult, Interval, Measured, ReliabilityBin
from finetune.artifacts.report_data import ReportData
from finetune.artifacts.run_summary import RunSummary, ServingMetrics
from finetune.config.evaluation import GateConfig
from pipeline.report import evaluation, page
from pipeline.report.sentences import reuse_sentences
from pipeline.report.verdict import next_steps, verdict

CLASSES = ["daisy", "dandelion", "rose", "sunflower", "tulip"]
BATCHES = (1, 8, 32)
GATES = [
    {"metric": "accuracy", "min": 0.8},
    {"metric": "accuracy", "min": 0.75, "confidence": 0.95},
    {"metric": "accuracy", "min": -0.02, "relative_to": "champion", "slice": {"label": "*"}, "confidence": 0.95},
    {"metric": "accuracy", "min": 0.1, "relative_to": "baseline"},
    {"metric": "ece", "max": 0.1},
    {"metric": "recall", "of_class": "tulip", "min": 0.7, "min_examples": 500},
]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@functools.cache
def duel() -> TestSet:
    """A candidate that is better than its champion but for roses, which it takes for tulips."""
    random = np.random.default_rng(3)
    labels = random.integers(0, 5, 400)
    scores = {name: random.normal(size=(400, 5)) for name in (CANDIDATE, CHAMPION, "logistic_regression")}
    for name, skill in ((CANDIDATE, 3.2), (CHAMPION, 2.8), ("logistic_regression", 1.8)):
        scores[name][np.arange(400), labels] += skill
    scores[CANDIDATE][labels == 2, 4] += 3.0
    odds = {name: np.exp(1.6 * values) for name, values in scores.items()}
    models = {name: values / values.sum(axis=1, keepdims=True) for name, values in odds.items()}
    models["majority"] = np.tile(np.bincount(labels) / 400, (400, 1))
    sites = np.array(["greenhouse", "meadow", "shop"])[random.integers(0, 3, 400)]
    return TestSet(CLASSES, labels, {"label": np.array(CLASSES)[labels], "site": sites}, models)


FOLDER = tempfile.TemporaryDirectory()


@functools.cache
def data() -> ReportData:
    chosen = duel()
    gates = judge_all([GateConfig(**gate) for gate in GATES], chosen, Tfma(blessed=False, expected=True), [])
    found = findings(chosen, [["label"], ["site"], ["label", "site"]])
    candidate = chosen.of(CANDIDATE)
    names = np.array(CLASSES)
    random = np.random.default_rng(1)
    times = {
        model: {size: (speed * (4 + size) * random.gamma(30, 1 / 30, 200)).tolist() for size in BATCHES}
        for model, speed in ((CANDIDATE, 1.0), (CHAMPION, 1.15))
    }
    serving = {
        model: {
            f"latency_{name}_ms_batch{size}": float(np.quantile(values, share))
            for size, values in by_size.items()
            for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        }
        | {f"throughput_per_second_batch{size}": 1000 * size / np.mean(values) for size, values in by_size.items()}
        | {"load_seconds": 0.8, "peak_memory_mb": 512.0, "size_mb": 9.4, "parity_max_difference": 2e-7}
        for model, by_size in times.items()
    }
    curves = [
        {
            "phase": "head" if epoch < 6 else "fine_tune",
            "epoch": epoch,
            "loss": 1.4 / (1 + epoch / 3),
            "accuracy": 0.9 - 0.5 / (1 + epoch),
            "val_loss": 1.5 / (1 + epoch / 4) + 0.1,
            "val_accuracy": 0.86 - 0.45 / (1 + epoch),
            "learning_rate": 0.001,
        }
        for epoch in range(1, 13)
    ]
    wrong = np.flatnonzero(~candidate.correct)
    confidence = candidate.probabilities.max(axis=1)
    order = wrong[np.argsort(-confidence[wrong])][:12]
    samples = [
        {
            "path": f"/data/flowers/{names[candidate.labels[index]]}/{index}.jpg",
            "label": names[candidate.labels[index]],
            "predicted": names[candidate.predicted[index]],
            "probability": float(confidence[index]),
            "image": picture(index),
        }
        for index in order
    ]
    contrasted, champion = contrast(chosen), chosen.of(CHAMPION)
    differing = [
        {
            "path": f"{index}.jpg",
            "label": names[candidate.labels[index]],
            "predicted": names[candidate.predicted[index]],
            "probability": float(confidence[index]),
            "champion": names[champion.predicted[index]],
            "champion_probability": float(champion.probabilities[index].max()),
            "better": bool(contrasted.gain[index] > 0),
            "slice": name,
            "image": picture(index),
        }
        for index, name in examples_to_show(contrasted, confidence)
    ]
    summary = {
        "run_id": "20260101T000000.000000Z",
        "name": "flowers",
        "status": "refused",
        "metrics": {name: metric.value for name, metric in found.metrics.items()},
        "champion_metrics": {name: metric.champion for name, metric in found.metrics.items()},
        "baselines": found.baselines,
        "gates": gates,
        "reuse": {"look": 7, "examples": 400, "risk": 0.05, "level": 0.00062, "more_labels": 460, "used_up": True},
        "serving": {"metrics": serving[CANDIDATE], "champion_metrics": serving[CHAMPION]},
        "splits": {"train": 2000, "val": 400, "test": 400},
        "phases": [
            {
                "name": name,
                "epochs": epochs,
                "seconds": 10.0 * epochs,
                "trainable_parameters": 10,
                "total_parameters": 20,
                "val_loss": 0.5,
                "val_accuracy": 0.8,
            }
            for name, epochs in (("head", 5), ("fine_tune", 7))
        ],
        "components": [{"id": "Trainer", "seconds": 111.0, "state": "ran"}],
        "backbone": {"name": "MobileNetV2", "source": "imagenet", "sha256": None},
        "seconds": 190.0,
    }
    return ReportData.model_validate(
        {
            "title": "flowers",
            "summary": summary,
            "curves": curves,
            **score(candidate.labels, candidate.predicted, CLASSES),
            "samples": samples,
            "disagreement": contrasted.summary(),
            "differing": differing,
            "evaluation": found,
            "latency_ms": times,
            "ingest": {"files": 2810, "used": 2800, "splits": {}},
        }
    )


def picture(seed: int) -> str:
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 255, (4, 4, 3), dtype=np.uint8)).resize(
        (96, 96), Image.Resampling.BICUBIC
    )
    path = Path(FOLDER.name, f"{seed}.jpg")
    small.save(path)
    return str(path)


@functools.cache
def html() -> str:
    """The page, drawn once: figures are most of the time that a report takes."""
    return page.render(data())


def text(rendered: str | None = None) -> str:
    rendered = html_module.unescape(rendered or html())
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", rendered, flags=re.DOTALL))


BELOW_ZERO = Interval(low=-0.2, high=0.0, confidence=0.95)


def outcome(status: str, **fields: object) -> RunSummary:
    return RunSummary(run_id="r", status=status, **fields)


def gate(name: str, passed: bool = True, **fields: object) -> GateResult:
    return GateResult(name, "accuracy", value=0.5, bound=0.4, passed=passed, **fields)


def test_a_failed_gate_shows_value_bound_slice_interval_and_what_to_try():
    shown = text()
    assert "Refused: 1 of 10 gates failed" in shown
    (failed,) = data().summary.failed_gates
    assert failed.name == "accuracy - champion >= -0.02 on label=rose at 99 %"
    for part in (
        failed.reason,
        f"{failed.value:.3f}",
        "-0.020",
        "Try look at the mistakes on label=rose;",
        "examples)",
    ):
        assert part in shown, part
    assert shown.index("✗ failed") < shown.index("✓ passed") < shown.index("– not judged")
    assert f"{failed.interval.low:.3f} to {failed.interval.high:.3f}" in shown


def test_gates_that_passed_are_folded_away_when_there_are_very_many():
    rows = [gate(f"gate {i}", passed=i != 7) for i in range(30)]
    shown = evaluation.gates(rows)
    assert [row["name"] for row in shown["shown"]] == ["gate 7"]
    assert len(shown["folded"]) == 29


def test_candidate_stands_beside_champion_and_baselines():
    shown = text()
    for part in ("weighted F1", "AUC", "calibration error", "logistic regression", "majority", "95 % interval"):
        assert part in shown, part


def test_a_difference_within_its_interval_is_called_noise():
    summary = outcome("pushed", metrics={"accuracy": 0.9}, champion_metrics={"accuracy": 0.88})
    for low, words in (
        (-0.01, "0.020 better than the champion, within noise"),
        (0.01, "0.020 better than the champion"),
    ):
        change = Interval(low=low, high=0.05, confidence=0.95)
        (card,) = evaluation.cards(summary, Findings(metrics={"accuracy": Measured(value=0.9, change=change)}))
        assert card["change"]["text"] == words


def test_slices_are_grouped_by_columns_and_weakest_first():
    groups = evaluation.slices(data().evaluation.model_copy(update={"slices_left_out": 3}))["groups"]
    assert [group["name"] for group in groups] == ["class", "site", "class × site"]
    assert groups[0]["rows"][0]["name"] == "rose"
    assert "By class × site" in text()
    assert evaluation.slices(data().evaluation.model_copy(update={"slices_left_out": 3}))["left_out"] == 3


def test_where_the_candidate_is_worse_than_the_champion_is_named_with_examples():
    view = page.page(data())["differences"]
    roses = view["rows"][0]
    assert (roses["part"].name, roses["state"]) == ("class rose", "failed")
    assert any("The candidate is worse in: class rose" in sentence for sentence in view["sentences"])
    titles = [group["title"] for group in view["groups"]]
    assert titles[0] == "Worse in: class rose"
    assert titles[-2:] == ["The champion is better", "The candidate is better"]
    assert all(shown["image"].startswith("data:image/") for group in view["groups"] for shown in group["shown"])
    html = page.render(data())
    assert '<section id="differences">' in html
    alone = data().model_copy(update={"disagreement": None, "differing": []})
    assert '<section id="differences">' not in page.render(alone)


def test_a_used_up_test_split_is_named_with_what_to_do():
    said = " ".join(verdict(data().summary).sentences)
    assert "candidate number 7 that is judged beside a champion on these 400 test examples" in said
    assert "used up" in said
    assert "Label 400 new ones" in said
    fresh = data().summary.reuse.model_copy(update={"look": 3, "more_labels": 230, "used_up": False})
    (sentence,) = reuse_sentences(fresh)
    assert sentence.endswith("With 230 more, the test split would show as much as at first.")
    (unbounded,) = reuse_sentences(fresh.model_copy(update={"level": None, "risk": None}))
    assert "No gate bounds the risk" in unbounded


def test_each_gate_says_what_the_split_could_have_shown():
    rows = evaluation.gates(data().summary.gates)["shown"]
    assert all("in 80 % of cases" in row["power"] for row in rows if row["state"] != "idle")
    assert any("more labelled examples would decide it" in row["power"] for row in rows)


def test_calibration_is_said_in_words():
    bins = [ReliabilityBin(low=0.8, high=1.0, examples=50, confidence=0.95, accuracy=0.8)]
    found = evaluation.calibration({"candidate": bins}, 0.15, "example", "right")
    assert (
        found["sentences"][0]
        == "On average it is 95% sure of each example, and 80% are right: it is too sure by 15 points."
    )
    assert "all 50 examples" not in found["alt"]
    assert evaluation.calibration({}, None, "example", "right") is None


def test_serving_is_shown_where_it_was_measured():
    shown = text()
    for part in ("Serving", "peak memory 512.0 MB", "largest difference to the trained network", "champion"):
        assert part in shown, part
    unserved = data().summary.model_copy(update={"serving": ServingMetrics()})
    assert "Serving" not in text(page.render(ReportData(title="t", summary=unserved)))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0.9, 0.8, None, None, (0.6, 1.0)), {"value": 0.75, "bound": 0.5, "zero": None}),
        (
            (-0.1, -0.02, Interval(low=-0.2, high=0.0, confidence=0.95)),
            {"low": 0.016 / 0.232, "high": 1 - 0.016 / 0.232},
        ),
        ((0.0, 0.0), {"value": 0.0, "bound": 0.0}),
    ],
)
def test_places_on_a_gauge(arguments, expected):
    places = evaluation.gauge(*arguments)
    drawn = [place for place in places.values() if place is not None]
    assert all(0 <= place <= 1 for place in drawn)
    assert {name: places[name] for name in expected} == pytest.approx(expected)


def test_scales_have_round_ends_and_hold_what_they_show():
    assert evaluation.share_scale([0.87, 0.93]) == (0.8, 1.0)
    assert evaluation.share_scale([0.02, None]) == (0.0, 0.1)
    assert evaluation.share_scale([0.5, 1.2]) is None
    assert evaluation.share_scale([]) is None


def test_a_gauge_without_a_value_is_not_drawn():
    assert evaluation.gauge(None, 0.8) is None
    assert evaluation.gauge(float("nan"), 0.8) is None


def test_verdicts_say_what_was_not_judged_and_what_was_pushed_against_the_gates():
    idle = gate("a", judged=False)
    passed, failed = gate("b"), gate("c", passed=False, advice="more data")
    assert verdict(outcome("pushed", gates=[idle])).reason == "no gate had anything to judge yet"
    assert verdict(outcome("pushed", gates=[idle, passed])).reason == "1 gate passed, 1 had nothing to judge"
    marked = verdict(outcome("pushed", gates=[failed, passed], report_only=True))
    assert (marked.reason, marked.tone) == ("although 1 gate failed", "warn")
    assert marked.sentences[0] == "evaluation.mode is report_only, so no gate could stop it."
    replaced = verdict(outcome("pushed", gates=[passed], pushed_model="m/2", served_instead="m/3"))
    assert "as version 2; version 3 is served in its place since" in replaced.sentences[0]
    several = [replace(failed, name=name) for name in "cde"]
    steps = next_steps(outcome("refused", gates=several))
    assert "For c and 2 more gates: more data." in steps


@pytest.mark.skipif(BROWSER is None, reason="no chromium; on Debian: apt-get install chromium")
@pytest.mark.parametrize("width", [1200, 390])
def test_the_page_in_a_browser(tmp_path: Path, width: int):
    """No console errors, a screenshot that is not empty, and nothing that sticks out to the right."""
    path = tmp_path / "report.html"
    path.write_text(html(), encoding="utf-8")
    # Headless Chromium makes no window as narrow as a phone; a frame can be. The probe goes into a copy of the page.
    probe = (
        "<script>addEventListener('load', () => { const page = document.documentElement;"
        "parent.postMessage([innerWidth, page.scrollWidth, page.scrollHeight,"
        "[...document.images].every(image => image.complete && image.naturalWidth > 0)], '*'); });</script>"
    )
    probed = path.read_text(encoding="utf-8").replace("</body>", f"{probe}</body>").replace(' loading="lazy"', "")
    (tmp_path / "probed.html").write_text(probed, encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(
        "<script>addEventListener('message', event => document.title = JSON.stringify(event.data))</script>"
        f'<style>body {{ margin: 0 }}</style><iframe src="probed.html" width="{width}" height="2400" frameborder="0">'
    )
    shot = tmp_path / "shot.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    flags += ["--hide-scrollbars", "--window-size=1200,2400", "--enable-logging=stderr", "--v=0"]
    done = subprocess.run(
        [BROWSER, *flags, f"--screenshot={shot}", "--virtual-time-budget=4000", "--dump-dom", frame.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    inner, scroll, height, images = json.loads(re.search("<title>(.*?)</title>", done.stdout).group(1))
    assert inner == width
    assert scroll <= width, "something sticks out to the right"
    assert height > 3000
    assert images
    pixels = np.asarray(Image.open(shot).convert("L"))[:, :width]
    assert pixels.std() > 10
    assert (pixels < 128).mean() > 0.005

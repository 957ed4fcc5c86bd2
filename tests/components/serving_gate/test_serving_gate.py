"""The serving gate's decisions, with servers made of Python, and its processes, with programs made of a few lines."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from components.serving_gate import answers, process, timing
from components.serving_gate.gate import Trial, try_to_serve, verdict
from components.serving_gate.server import NotServed, Output
from components.serving_gate.tasks import TASKS
from components.serving_gate.tasks.contract import check_task
from evaluation.metrics import METRICS
from evaluation.metrics.serving import BATCH_SIZES
from finetune.config.evaluation import GateConfig
from registry.versions import model_digest

ROOT = Path(__file__).parents[3]
CLASSES = ["disc", "ring"]


def answer(probabilities, labels=None, dtype="float32", classes=CLASSES):
    rows = np.asarray(probabilities, dtype=float)
    labels = labels or [classes[int(row.argmax())] for row in np.nan_to_num(rows)]
    return {
        "probabilities": Output(dtype, rows.shape, rows.tolist()),
        "classes": Output("string", (len(rows), len(classes)), [list(classes)] * len(rows)),
        "label": Output("string", (len(rows),), labels),
    }


class FakeServer:
    """Answers at once, and says that it took `seconds` of a model plus what `noise` gives for the moment."""

    def __init__(self, seconds=0.01, noise=lambda: 0.0, probability=0.8, fails=(), clock=None):
        self.load_seconds = float("nan")
        self.closed = False
        self._seconds, self._noise, self._probability, self._fails = seconds, noise, probability, fails
        self._clock = clock or [0.0]
        self.calls = 0

    def prepare(self):
        self._may_fail("prepare")

    def load(self):
        self._may_fail("load")
        self.load_seconds = 0.5

    def predict(self, requests):
        self._may_fail("predict")
        return answer([[self._probability, 1 - self._probability]] * len(requests))

    def seconds(self, requests):
        self.calls += 1
        if self.calls > 20:
            self._may_fail("later")
        return self._seconds * len(requests) ** 0.5 + self._noise()

    def peak_memory_mb(self):
        return 100.0

    def close(self):
        self.closed = True

    def _may_fail(self, step):
        if step in self._fails:
            raise NotServed(f"it broke in {step}")


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"x" * 1_000_000)
    return folder


def serve(model, tmp_path, candidate, champion=None, trained=None, teacher=None):
    servers = {"candidate": candidate, "champion": champion, "teacher": teacher}
    beside, taught_by = (model if each else None for each in (champion, teacher))
    budgets = timing.budgets([], 2.0)
    trial = Trial(
        TASKS["single_label"], model, beside, requests=10, trained=trained or {}, budgets=budgets, teacher=taught_by
    )
    (tmp_path / "work").mkdir(exist_ok=True)
    folder = tmp_path / "work" / str(len(list((tmp_path / "work").iterdir())))
    folder.mkdir()
    return try_to_serve(trial, folder, lambda name, _: servers[name])


def failed(findings, *gates):
    results = verdict([GateConfig(**gate) for gate in gates], findings)
    return [(result.name, result.reason) for result in results if not result.passed]


def test_every_serving_metric_is_measured_and_can_be_a_gate(model, tmp_path):
    facts = {name for name, metric in METRICS.items() if metric.of_serving}

    findings = serve(model, tmp_path, FakeServer(), FakeServer(0.02), trained={10: [0.8, 0.2]})
    assert set(findings.metrics) == facts
    assert set(findings.champion_metrics) == facts - {"parity_max_difference"}
    assert findings.metrics["size_mb"] == pytest.approx(1.0)
    assert findings.metrics["load_seconds"] == 0.5
    assert findings.metrics["latency_p95_ms_batch1"] == pytest.approx(10)
    assert findings.metrics["throughput_per_second_batch32"] == pytest.approx(32 / (0.01 * 32**0.5))
    assert findings.model_sha256 == model_digest(model)
    for metric in facts:
        assert failed(findings, {"metric": metric, "max": -1}), metric
        assert not failed(findings, {"metric": metric, "max": 1e9}), metric


def test_a_relative_gate_names_both_values(model, tmp_path):
    findings = serve(model, tmp_path, FakeServer(0.013), FakeServer(0.01), trained={10: [0.8, 0.2]})
    gate = {"metric": "latency_p95_ms_batch1", "max": 1.2, "relative_to": "champion", "compare": "ratio"}
    ((name, reason),) = failed(findings, gate)
    assert name == "latency_p95_ms_batch1 / champion <= 1.2 at 99 %"
    assert "1.3000 times (13.0000 beside the champion's 10.0000)" in reason
    assert not failed(findings, {**gate, "max": 1.4})


def test_a_teacher_is_timed_and_weighed_beside_champion_and_candidate(model, tmp_path):
    servers = FakeServer(0.01), FakeServer(0.02)
    findings = serve(model, tmp_path, *servers, trained={10: [0.8, 0.2]}, teacher=FakeServer(0.05))
    assert findings.teacher_metrics["latency_p50_ms_batch1"] == pytest.approx(50)
    assert findings.champion_metrics["latency_p50_ms_batch1"] == pytest.approx(20)
    assert set(findings.milliseconds) == {"candidate", "champion", "teacher"}
    gate = {"metric": "latency_p95_ms_batch1", "max": 0.25, "relative_to": "teacher", "compare": "ratio"}
    assert not failed(findings, gate)
    ((name, reason),) = failed(findings, {**gate, "max": 0.1})
    assert name == "latency_p95_ms_batch1 / teacher <= 0.1 at 99 %"
    assert "0.2000 times (10.0000 beside the teacher's 50.0000)" in reason
    size = {"metric": "size_mb", "max": 0.5, "relative_to": "teacher", "compare": "ratio"}
    assert "1.0000 times" in failed(findings, size)[0][1]


@pytest.mark.parametrize("step", ["prepare", "load", "later"])
def test_a_teacher_that_breaks_leaves_the_champion_in_place(model, tmp_path, step):
    broken = FakeServer(fails=(step,))
    findings = serve(model, tmp_path, FakeServer(), FakeServer(0.02), trained={10: [0.8, 0.2]}, teacher=broken)
    gate = {"metric": "latency_p50_ms_batch1", "max": 2, "compare": "ratio"}
    assert not failed(findings, {**gate, "relative_to": "champion"})
    (_, reason) = failed(findings, {**gate, "relative_to": "teacher"})[0]
    assert reason == f"the teacher could not be served: it broke in {step}"


def test_without_a_champion_relative_gates_pass_and_say_so(model, tmp_path):
    findings = serve(model, tmp_path, FakeServer(), trained={10: [0.8, 0.2]})
    gate = GateConfig(metric="size_mb", max=1, relative_to="champion", compare="ratio")
    result = verdict([gate], findings)[-1]
    assert result.passed
    assert not result.judged


def test_parity_is_always_judged_and_its_bound_can_be_changed(model, tmp_path):
    findings = serve(model, tmp_path, FakeServer(probability=0.8), trained={10: [0.79, 0.21], 11: [0.8, 0.2]})
    assert findings.metrics["parity_max_difference"] == pytest.approx(0.01)
    assert [name for name, _ in failed(findings)] == ["parity_max_difference <= 0.005"]
    assert not failed(findings, {"metric": "parity_max_difference", "max": 0.02})
    without = serve(model, tmp_path, FakeServer())
    assert failed(without) == [("parity_max_difference <= 0.005", "the Trainer left no predictions to compare with")]


@pytest.mark.parametrize("step", ["prepare", "load", "predict", "later"])
def test_a_candidate_that_breaks_is_refused_with_the_reason(model, tmp_path, step):
    servers = FakeServer(fails=(step,)), FakeServer()
    findings = serve(model, tmp_path, *servers, trained={10: [0.8, 0.2]})
    results = verdict([GateConfig(metric="size_mb", max=10)], findings)
    assert [(result.passed, result.reason) for result in results] == [
        (False, f"it broke in {step}"),
        (False, "the model could not be served"),
        (False, "the model could not be served"),
    ]
    assert servers[0].closed
    assert servers[1].closed


@pytest.mark.parametrize("step", ["prepare", "load", "later"])
def test_a_champion_that_breaks_is_not_the_candidates_fault(model, tmp_path, step):
    findings = serve(model, tmp_path, FakeServer(), FakeServer(fails=(step,)), trained={10: [0.8, 0.2]})
    assert not failed(findings, {"metric": "latency_p50_ms_batch1", "max": 20})
    gate = {"metric": "latency_p50_ms_batch1", "max": 2, "relative_to": "champion", "compare": "ratio"}
    assert failed(findings, gate)[0][1] == f"the champion could not be served: it broke in {step}"


def changes(candidate, champion, metric="latency_p95_ms_batch1"):
    return timing.change_interval(candidate.of_rounds()[metric], champion.of_rounds()[metric], "ratio")


def test_the_comparison_stands_bursts_that_hide_the_models():
    """An eighth of the time something else takes the machine: p95 over all requests is that of the noise."""
    random.seed(3)
    now = [0]

    def burst():
        now[0] += 1
        return 0.2 * random.random() if (now[0] // 100) % 8 == 4 else 0.0005 * random.random()

    candidate, champion = timing.time_alternately([FakeServer(noise=burst), FakeServer(noise=burst)], {1: 10.0}, 5)
    assert candidate.pooled()["latency_p95_ms_batch1"] > 50
    assert changes(candidate, champion).low < 1 < changes(candidate, champion).high < 1.2
    slowed, champion = timing.time_alternately([FakeServer(0.013, noise=burst), FakeServer(noise=burst)], {1: 10.0}, 5)
    assert changes(slowed, champion).low > 1.2


def test_equal_models_are_told_apart_no_more_often_than_the_level_allows():
    """Noise with a heavy tail, as machines have it; the interval must miss 1 in at most 1 % of 2,000 trials."""
    noise = np.random.default_rng(1)
    missed = 0
    for _ in range(2000):
        interval = timing.change_interval(*(1 + noise.pareto(1.0, (2, 20))), "ratio")
        missed += not interval.low <= 1 <= interval.high
        assert interval.confidence >= timing.CONFIDENCE
    print(f"{missed} of 2000 intervals missed")
    assert missed <= 2000 * (1 - timing.CONFIDENCE) + 3 * (2000 * 0.01 * 0.99) ** 0.5


def test_the_fewest_rounds_still_give_almost_the_confidence():
    interval = timing.change_interval([3.0] * timing.MIN_ROUNDS, [2.0] * timing.MIN_ROUNDS, "difference")
    assert (interval.low, interval.high) == (1.0, 1.0)
    assert interval.confidence == pytest.approx(1 - 2 / 2**timing.MIN_ROUNDS)


def test_requests_alternate_and_neither_server_is_always_first():
    order = []

    class Recorded(FakeServer):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def seconds(self, requests):
            order.append((self.name, len(requests), tuple(requests)))
            return 0.01

    timing.time_alternately([Recorded("a"), Recorded("b")], timing.budgets([], 3.0), 40)
    timed = order[len(BATCH_SIZES) * 2 * timing.WARM_UP_CALLS :]
    pairs = list(zip(timed[::2], timed[1::2], strict=True))
    assert all(one[0] != two[0] and one[1:] == two[1:] for one, two in pairs)
    first = [one[0] for one, _ in pairs]
    assert first.count("a") == first.count("b")
    assert {size for _, size, _ in timed[:60]} == set(BATCH_SIZES), "batch sizes take turns"


def test_what_a_gate_asks_about_gets_all_the_time():
    gates = [GateConfig(metric=name, max=1) for name in ("latency_p95_ms_batch1", "latency_p50_ms_batch1", "size_mb")]
    assert timing.budgets(gates, 10.0) == {1: 10.0, 8: 1.0, 32: 1.0}
    assert timing.budgets([*gates, GateConfig(metric="throughput_per_second_batch8", min=1)], 10.0)[8] == 5.0
    assert timing.budgets([], 10.0) == dict.fromkeys(BATCH_SIZES, 1.0)
    assert timing.budgets([], 1.5) == dict.fromkeys(BATCH_SIZES, 0.5)


@pytest.mark.parametrize(
    ("seconds", "budget", "expected"),
    [(0.004, 3.0, (20, 20)), (0.03, 3.0, (10, 10)), (1.0, 3.0, (8, 1)), (0.0, 3.0, (20, 20)), (100.0, 1.0, (8, 1))],
)
def test_slow_models_get_fewer_calls_and_never_fewer_rounds_than_the_interval_takes(seconds, budget, expected):
    assert timing.rounds_and_calls(seconds, budget) == expected


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, None),
        ({"label": None}, "its outputs are classes, probabilities; expected classes, label, probabilities"),
        ({"probabilities": Output("float64", (2, 2), [[1, 0]] * 2)}, "its output probabilities is float64"),
        ({"label": Output("string", (2, 1), [["disc"]] * 2)}, r"label has the shape \(2, 1\); expected \(2\)"),
        ({"classes": Output("string", (2, 1), [["disc"]] * 2)}, r"classes has the shape \(2, 1\); expected \(2, 2\)"),
        ({"probabilities": Output("float32", (2, 2), [[math.nan, 1], [1, 0]])}, "1 of 2 answers hold NaN"),
        ({"probabilities": Output("float32", (2, 2), [[0.9, 0.3], [1, 0]])}, "do not add up to 1"),
        ({"probabilities": Output("float32", (2, 2), [[1.5, -0.5], [1, 0]])}, "are negative or do not"),
        ({"label": Output("string", (2,), ["disc", "ring"])}, "its label 'ring' is not the most probable class"),
        ({"label": Output("string", (2,), ["disc", "rose"])}, "its label 'rose' is not the most probable class"),
    ],
)
def test_answers_are_held_against_what_clients_rely_on(change, problem):
    found = {**answer([[0.9, 0.1], [0.8, 0.2]]), **change}
    problems = problems_of("single_label", found)
    if problem is None:
        assert problems == []
    else:
        with pytest.raises(AssertionError, match=problem):
            raise AssertionError("; ".join(problems))


def problems_of(task, found, decision=None):
    return answers.problems(TASKS[task], {name: output for name, output in found.items() if output}, 2, decision or {})


@pytest.mark.parametrize(
    ("label", "right"), [(["disc", "disc"], True), (["ring", "disc"], False), (["disc", "ring"], False)]
)
def test_a_label_is_held_against_the_threshold_of_the_model(label, right):
    decision = {"threshold_of": "disc", "thresholds": [0.1, 0.9]}
    found = answer([[0.4, 0.6], [0.1, 0.9]]) | {"label": Output("string", (2,), label)}
    said = "its label 'ring' is not what its threshold of disc says"
    assert problems_of("single_label", found, decision) == ([] if right else [said])


SAID = {"predicted": Output("int64", (2, 2), [[1, 0], [0, 0]])}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, None),
        ({"predicted": None}, "its outputs are classes, probabilities; expected classes, predicted, probabilities"),
        ({"predicted": Output("int64", (2,), [1, 0])}, r"predicted has the shape \(2\); expected \(2, 2\)"),
        ({"predicted": Output("float32", (2, 2), [[1, 0], [0, 0]])}, "its output predicted is float32"),
        ({"predicted": Output("int64", (2, 2), [[2, 0], [0, 0]])}, "has other values than 0 and 1"),
        ({"predicted": Output("int64", (2, 2), [[0, 0], [1, 0]])}, "predicts 'disc' at one probability, and does not"),
        ({"probabilities": Output("float32", (2, 2), [[1.5, 0.1], [0.5, 0.1]])}, "not all between 0 and 1"),
    ],
)
def test_answers_of_several_labels(change, problem):
    found = {**answer([[0.9, 0.9], [0.8, 0.2]]), **SAID, **change, "label": None}
    problems = problems_of("multi_label", found)
    assert bool(problems) == bool(problem)
    if problem:
        with pytest.raises(AssertionError, match=problem):
            raise AssertionError("; ".join(problems))


SOUND = {
    "single_label": {"label": np.array(["disc", "ring"])},
    "multi_label": {"predicted": np.array([[1, 0], [0, 1]])},
    "detection": {
        "boxes": np.pad(np.full((2, 1, 4), [0.1, 0.2, 0.5, 0.6], np.float32), ((0, 0), (0, 99), (0, 0))),
        "scores": np.pad(np.full((2, 1), 0.9, np.float32), ((0, 0), (0, 99))),
        "labels": np.array([["disc", *[""] * 99], ["ring", *[""] * 99]]),
        "predicted": np.pad(np.ones((2, 1), np.int64), ((0, 0), (0, 99))),
    },
    "segmentation": {
        "mask": np.array([[[0, 0], [0, 1]], [[1, 1], [1, 1]]], np.uint8),
        "predicted": np.array([[1, 1], [0, 1]]),
    },
}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_keeps_the_contract(name):
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    classes = np.array([["disc", "ring"]] * 2)
    check_task(TASKS[name], {"probabilities": probabilities, "classes": classes, **SOUND[name]})


def test_parity_is_the_largest_difference_and_infinite_for_other_classes_or_nan():
    assert answers.largest_difference({1: [0.5, 0.5]}, {1: [0.4, 0.6], 2: [0, 1]}) == pytest.approx(0.1)
    assert answers.largest_difference({1: [0.5, 0.3, 0.2]}, {1: [0.5, 0.5]}) == math.inf
    assert answers.largest_difference({1: [math.nan, 0.5]}, {1: [0.5, 0.5]}) == math.inf


def start(tmp_path, code, timeout=20.0):
    return process.Process([sys.executable, "-I", "-c", code], tmp_path, timeout)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; print('boom', file=sys.stderr); sys.exit(7)", "it ended with exit code 7: boom"),
        ("import os; os.kill(os.getpid(), 11)", "it was ended by SIGSEGV"),
        ('print(\'{"error": "ValueError: no"}\', flush=True); import time; time.sleep(60)', "ValueError: no"),
    ],
)
def test_how_a_process_ended_is_said(tmp_path, code, reason):
    running = start(tmp_path, code)
    try:
        with pytest.raises(NotServed, match=reason):
            running.ask(do="import")
    finally:
        running.close()


def test_a_hanging_process_is_given_up_and_ended_with_its_children(tmp_path):
    code = (
        "import subprocess, time; child = subprocess.Popen(['sleep', '60'])\n"
        "open('pid', 'w').write(str(child.pid)); time.sleep(60)"
    )
    running = start(tmp_path, code, timeout=1.0)
    with pytest.raises(NotServed, match="did not answer within 1 s"):
        running.ask(do="import")
    running.close()
    child = Path("/proc", (tmp_path / "pid").read_text(), "stat")
    deadline = time.monotonic() + 5
    while child.exists() and ") Z " not in child.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not child.exists() or ") Z " in child.read_text()


def test_the_process_knows_neither_our_code_nor_our_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    environment = process.clean_environment(tmp_path)
    assert "SECRET_TOKEN" not in environment
    assert "PYTHONPATH" not in environment
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import served_alone\n"
        "sys.meta_path.insert(0, served_alone.Hidden(sys.argv[2:]))\n"
        "for name in sys.argv[2:]:\n"
        "    try: __import__(name + '.component')\n"
        "    except ModuleNotFoundError: continue\n"
        "    sys.exit(name)\n"
    )
    command = [sys.executable, "-I", "-c", code, str(process.SCRIPT.parent), *process.HIDDEN]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_package_of_ours_can_be_imported_where_a_model_is_served():
    packages = {path.parent.name for path in [*ROOT.glob("*/__init__.py"), *ROOT.glob("kubeflow/*/__init__.py")]}
    assert packages - {"benchmarks"} <= set(process.HIDDEN)

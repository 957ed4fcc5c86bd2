"""Serves a model as production would, holds it against the gates, and says what was found. No TensorFlow in here."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from components.serving_gate import answers
from components.serving_gate.server import Answer, NotServed, Server
from components.serving_gate.tasks import ServedTask
from components.serving_gate.timing import CONFIDENCE, Timings, candidate_beside, change_interval, time_alternately
from evaluation.evidence import CANDIDATE, CHAMPION
from evaluation.gates import Evidence, judge
from evaluation.metrics.serving import BATCH_SIZES, TIMED
from finetune.artifacts.findings import GateResult, ServingFindings
from finetune.config.evaluation import TEACHER, GateConfig
from registry.versions import FACTS_FILE, model_digest

# Of probabilities in [0, 1]. The same network in the same precision, compiled twice, differs by some 1e-6; matrices
# multiplied in TF32 or float16 on a GPU by up to 1e-3 or so; another decoder or resize by 1e-2 and more.
PARITY = GateConfig(metric="parity_max_difference", max=5e-3)
PARITY_BATCH = 32

Launch = Callable[[str, Path], Server]


@dataclass(frozen=True)
class Trial:
    """What the gate serves, SavedModel folders that keep the promise of a task, and what it asks.

    There are so many test `requests`, numbered from 0; `trained` has, by the number of a further request, the
    probabilities of the network in the Trainer's memory for it. `budgets` are the seconds to time each batch size for.
    """

    task: ServedTask
    candidate: Path
    champion: Path | None
    requests: int
    trained: Mapping[int, Sequence[float]]
    budgets: Mapping[int, float]
    teacher: Path | None = None


def try_to_serve(trial: Trial, folder: Path, launch: Launch) -> ServingFindings:
    """Copies the models, serves them side by side, and measures.

    Args:
        trial: What to serve and ask.
        folder: An empty folder to work in.
        launch: Gives a server for a name and a SavedModel folder.

    Returns:
        What was found. A model that crashes, hangs or answers wrongly is a finding, not an error.
    """
    given = {CANDIDATE: trial.candidate, CHAMPION: trial.champion, TEACHER: trial.teacher}
    models = {name: _copy(model, folder / name) for name, model in given.items() if model}
    digest = model_digest(models[CANDIDATE])
    servers: dict[str, Server] = {}
    refusals: dict[str, str] = {}

    def try_others(action: Callable[[Server], None]) -> None:
        for name, server in servers.items():
            if name != CANDIDATE and name not in refusals and (reason := _why_not(partial(action, server))):
                refusals[name] = reason

    def times() -> dict[str, Timings]:
        served = {name: server for name, server in servers.items() if name not in refusals}
        return dict(zip(served, time_alternately(list(served.values()), trial.budgets, trial.requests), strict=True))

    try:
        for name, model in models.items():
            servers[name] = launch(name, model)
        candidate = servers[CANDIDATE]
        # All start before the first one loads: loading alone is timed, with nothing else going on.
        candidate.prepare()
        try_others(lambda server: server.prepare())
        candidate.load()
        metrics = {"load_seconds": candidate.load_seconds, "size_mb": _size_mb(models[CANDIDATE])}
        _ask_once(trial, candidate)
        if trial.trained:
            metrics[PARITY.metric] = _parity(candidate, trial.trained)
        try_others(lambda server: server.load())
        try:
            timings = times()
        except NotServed as reason:
            # If the candidate still answers, it was one of the others.
            candidate.seconds([0])
            broken = [name for name in servers if name not in {CANDIDATE, *refusals}]
            try_others(_ask)
            if not set(broken) & set(refusals):
                refusals |= dict.fromkeys(broken, str(reason))
            timings = times()
        metrics |= timings[CANDIDATE].pooled() | {"peak_memory_mb": candidate.peak_memory_mb()}
        beside = {
            name: {
                "load_seconds": servers[name].load_seconds,
                "size_mb": _size_mb(models[name]),
                "peak_memory_mb": servers[name].peak_memory_mb(),
                **timing.pooled(),
            }
            for name, timing in timings.items()
            if name != CANDIDATE
        }
        return ServingFindings(
            model_sha256=digest,
            metrics=metrics,
            champion_metrics=beside.get(CHAMPION),
            champion_refusal=refusals.get(CHAMPION, ""),
            teacher_metrics=beside.get(TEACHER),
            teacher_refusal=refusals.get(TEACHER, ""),
            rounds={name: timing.of_rounds() for name, timing in timings.items()},
            milliseconds=_milliseconds(timings),
        )
    except NotServed as reason:
        return ServingFindings(model_sha256=digest, refusal=str(reason))
    finally:
        for server in servers.values():
            server.close()


def verdict(gates: Sequence[GateConfig], findings: ServingFindings) -> list[GateResult]:
    """Judges every gate: that the model is served at all, parity (unless the config has its own bound), and the rest.

    Times are never the same twice. A gate that compares them with the champion's refuses when the interval shows that
    the bound is missed, not when the point does.

    Args:
        gates: Those of the config that are about serving.
        findings: What was measured.
    """
    served = GateResult(
        name="served alone",
        metric="served",
        value=0.0 if findings.refusal else 1.0,
        bound=1.0,
        passed=not findings.refusal,
        reason=findings.refusal
        or "a process without the training code answers batches of "
        f"{', '.join(map(str, BATCH_SIZES))} with the promised outputs",
        advice="start `finetune predict` on the model, and read what the log says" if findings.refusal else "",
    )
    has_parity = any(gate.metric == PARITY.metric for gate in gates)
    asked = [*([] if has_parity else [PARITY]), *map(_with_interval, gates)]
    return [served, *judge(asked, lambda gate: _evidence(gate, findings))]


def _with_interval(gate: GateConfig) -> GateConfig:
    if gate.relative_to and gate.metric in TIMED:
        return gate.model_copy(update={"confidence": CONFIDENCE, "refuse_when": "disproven"})
    return gate


def _evidence(gate: GateConfig, findings: ServingFindings) -> Evidence:
    if findings.refusal:
        return Evidence(None, missing="the model could not be served")
    if gate.relative_to is None:
        missing = "the Trainer left no predictions to compare with" if gate.metric == PARITY.metric else ""
        return Evidence(findings.metrics.get(gate.metric), missing=missing)
    name, value = gate.relative_to, findings.metrics.get(gate.metric)
    refusal, beside = {
        CHAMPION: (findings.champion_refusal, findings.champion_metrics),
        TEACHER: (findings.teacher_refusal, findings.teacher_metrics),
    }[name]
    if refusal:
        return Evidence(value, missing=f"the {name} could not be served: {refusal}")
    if beside is None:
        return Evidence(value, first_run=True)
    candidate, other = (findings.rounds[each].get(gate.metric) for each in (CANDIDATE, name))
    if candidate is None or other is None:
        missing = "parity is measured of the candidate alone" if gate.metric == PARITY.metric else ""
        return Evidence(value, reference=beside.get(gate.metric), reference_name=name, missing=missing)
    reference = statistics.median(other)
    return Evidence(
        candidate_beside(reference, candidate, other, gate.compare),
        reference=reference,
        reference_name=name,
        interval=change_interval(candidate, other, gate.compare),
    )


def _why_not(action: Callable[[], None]) -> str:
    try:
        action()
    except NotServed as reason:
        return str(reason)
    return ""


def _ask_once(trial: Trial, server: Server) -> None:
    """One batch of each size, whose outputs must be what clients rely on."""
    facts = trial.candidate / FACTS_FILE
    decision = json.loads(facts.read_text(encoding="utf-8")) if facts.is_file() else {}
    for batch in BATCH_SIZES:
        asked = [number % trial.requests for number in range(batch)]
        found = answers.problems(trial.task, server.predict(asked), batch, decision)
        if found:
            raise NotServed("; ".join(found))


def _ask(server: Server) -> None:
    """Asks for one answer, whose time does not matter."""
    server.seconds([0])


def _parity(server: Server, trained: Mapping[int, Sequence[float]]) -> float:
    numbers = list(trained)
    served: dict[int, Sequence[float]] = {}
    for begin in range(0, len(numbers), PARITY_BATCH):
        asked = numbers[begin : begin + PARITY_BATCH]
        answer: Answer = server.predict(asked)
        served |= dict(zip(asked, answer["probabilities"].values, strict=True))
    return answers.largest_difference(served, trained)


def _milliseconds(timings: Mapping[str, Timings]) -> dict[str, dict[int, list[float]]]:
    return {
        name: {batch: [round(value, 4) for value in one.milliseconds(batch)] for batch in one.rounds}
        for name, one in timings.items()
    }


def _copy(model: Path, folder: Path) -> Path:
    return Path(shutil.copytree(model, folder / "1"))


def _size_mb(model: Path) -> float:
    return sum(path.stat().st_size for path in model.rglob("*") if path.is_file()) / 1e6

"""What stays of earlier runs and what goes, decided from facts alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from finetune.config import KeepConfig
from pipeline.clean.plan import Facts, Run, StoredArtifact, Used, Version, plan

NOW = datetime(2026, 7, 1, tzinfo=timezone.utc)


def a_run(age: float, status: str = "refused", **facts) -> Run:
    """A run so many days ago; its id is its age."""
    start = NOW - timedelta(days=age)
    return Run(f"{age:g}", start, "p", status, judged=status != "failed", folder_bytes=10, **facts)


def an_artifact(number: int, **facts) -> StoredArtifact:
    return StoredArtifact(number, f"/out/artifacts/Trainer/model/{number}", **facts)


def facts_of(*runs: Run, **facts) -> Facts:
    numbers = sorted({number for run in runs for number in run.made | run.read})
    artifacts = {number: an_artifact(number) for number in numbers}
    folders = {artifact.place: 100 for artifact in artifacts.values()}
    return Facts(**{"pipeline": "p", "runs": runs, "artifacts": artifacts, "folders": folders, **facts})


def stays(facts: Facts, **keep) -> list[str]:
    return list(plan(facts, KeepConfig(**keep), NOW).stays)


def gone(facts: Facts, **keep) -> list[str]:
    return [removal.path for removal in plan(facts, KeepConfig(**keep), NOW).removals]


def made(*numbers: int) -> dict[str, frozenset[int]]:
    return {"made": frozenset(numbers), "executions": frozenset(numbers)}


def test_the_newest_runs_stay_and_those_that_were_not_judged_push_none_of_them_out():
    runs = [a_run(age, "failed") for age in (1, 2, 3)] + [a_run(age) for age in (4, 5, 6)]
    assert stays(facts_of(*runs), runs=2) == ["1", "2", "4", "5"]


def test_young_runs_stay_however_many_and_without_a_number_the_newest_of_each_kind():
    runs = [a_run(age) for age in (1, 2, 3, 40, 50)]
    assert stays(facts_of(*runs), days=30) == ["1", "2", "3"]
    assert stays(facts_of(*runs[3:]), days=30) == ["40"]
    assert stays(facts_of(*runs), days=45, runs=5) == ["1", "2", "3", "40", "50"]


def test_a_version_keeps_the_run_that_trained_its_model_and_the_one_that_pushed_it():
    uri = an_artifact(7).uri
    trained = a_run(90, "refused", **made(7))
    pushed = a_run(80, "pushed", version="/pushed/1", **made(7))
    again = a_run(70, "pushed", version="/pushed/1", **made(7))
    facts = facts_of(trained, pushed, again, a_run(1, **made(9)), versions=[Version("/pushed/1", uri)])
    decided = plan(facts, KeepConfig(runs=1), NOW)
    assert decided.stays == {"1": "among the newest", "80": "version /pushed/1", "90": "version /pushed/1"}
    assert decided.runs == ["70"]
    assert decided.artifacts == []
    assert gone(replace(facts, versions=[]), runs=1) == ["artifacts/Trainer/model/7", "runs/70", "runs/80", "runs/90"]


def test_what_a_run_that_stays_made_or_read_stays():
    old = a_run(9, **made(1, 2, 3))
    new = a_run(1, made=frozenset({4, 1}), read=frozenset({2}), executions=frozenset({4}))
    decided = plan(facts_of(old, new), KeepConfig(runs=1), NOW)
    assert decided.artifacts == [3]
    assert [removal.path for removal in decided.removals] == ["artifacts/Trainer/model/3", "runs/9"]
    assert decided.bytes == 110


def test_a_look_at_the_test_split_is_counted_for_ever():
    facts = facts_of(a_run(9, **made(1, 2)), a_run(1, **made(3)))
    facts = replace(facts, artifacts={**facts.artifacts, 1: an_artifact(1, is_look=True)})
    assert plan(facts, KeepConfig(runs=1), NOW).artifacts == [2]
    assert gone(facts, runs=1) == ["artifacts/Trainer/model/2", "runs/9"]


def test_what_a_killed_clean_or_a_killed_node_left_goes():
    left = facts_of(a_run(9, **made(1)), a_run(1, **made(3)), folders={"Trainer/model/1": 5, "Trainer/model/2": 5})
    left = replace(left, artifacts={1: an_artifact(1, live=False), 3: an_artifact(3)})
    decided = plan(left, KeepConfig(runs=1), NOW)
    assert decided.artifacts == []
    assert [removal.path for removal in decided.removals] == ["artifacts/Trainer/model/1", "runs/9"]
    killed = replace(left.runs[0], executions=frozenset({1, 2}))
    decided = plan(replace(left, runs=[killed, left.runs[1]]), KeepConfig(runs=1), NOW)
    assert [removal.path for removal in decided.removals][:2] == [
        "artifacts/Trainer/model/1",
        "artifacts/Trainer/model/2",
    ]


def test_a_folder_of_an_unknown_execution_stays():
    assert gone(facts_of(a_run(1), a_run(9), folders={"Trainer/model/5": 5, "Trainer/model/x": 5}), runs=1) == [
        "runs/9"
    ]


def test_runs_of_another_pipeline_stay():
    other = replace(a_run(99, **made(5)), pipeline="other")
    assert stays(facts_of(a_run(1), a_run(2), other), runs=1) == ["1", "99"]


def test_what_belongs_to_no_run_goes_when_it_was_used_before_the_oldest_that_stays_for_its_age():
    def used(age: float) -> Used:
        return Used(f"tensorboard/{age:g}", "TensorBoard", 1, NOW - timedelta(days=age))

    version = Version("/pushed/1", an_artifact(7).uri)
    runs = [a_run(1), a_run(2), a_run(10), a_run(50, "pushed", version="/pushed/1", **made(7)), a_run(60, "failed")]
    facts = facts_of(*runs, used=[used(0.5), used(1.5), used(5), used(55)], versions=[version])
    assert gone(facts, runs=2) == ["runs/10", "tensorboard/5", "tensorboard/55"]
    assert gone(facts_of(used=[used(55)]), runs=1) == []


def test_a_run_that_went_before_is_not_named_again():
    before = replace(a_run(9, **made(1)), folder_bytes=None)
    facts = replace(facts_of(before, a_run(1)), artifacts={1: an_artifact(1, live=False)}, folders={})
    assert plan(facts, KeepConfig(runs=1), NOW).runs == []


def test_a_run_that_went_before_takes_no_place_among_the_newest():
    before = replace(a_run(1, "", went=True, **made(1)), judged=False, folder_bytes=None)
    facts = facts_of(before, a_run(2, "failed"), a_run(3, **made(3)))
    decided = plan(facts, KeepConfig(runs=1), NOW)
    assert list(decided.stays) == ["2", "3"]
    assert [removal.path for removal in decided.removals] == ["artifacts/Trainer/model/1"]

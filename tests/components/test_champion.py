"""Who the champion is: what the folder of versions serves, whatever the runs did."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune.artifacts.pushed_version import PushRecord
from registry.versions import push_version, roll_back

pytest.importorskip("tfx")

from tfx.types import standard_artifacts

from components.champion.decision_folder import DecisionFolder
from components.champion.drifted import SPANS
from components.champion.looks import CHAMPION_URI, MODEL_URI
from components.champion.resolver import ChampionStrategy
from components.gate_keeper.verdict_folder import VerdictFolder


@pytest.fixture
def models(tmp_path):
    """Three models as artifacts, and a function that pushes one of them."""
    artifacts = []
    for name in "abc":
        folder = tmp_path / name
        folder.mkdir()
        (folder / "saved_model.pb").write_text(name)
        artifact = standard_artifacts.Model()
        artifact.uri = str(folder)
        artifacts.append(artifact)
    return artifacts


def push(model, tmp_path):
    push_version(Path(model.uri), tmp_path / "pushed", record=PushRecord(model_uri=model.uri))


def champion(candidate, models, tmp_path):
    found = ChampionStrategy(str(tmp_path / "pushed")).resolve_artifacts(
        None, {"model": list(models), "candidate": [candidate]}
    )
    assert found["candidate"] == [candidate]
    return [model.uri[-1] for model in found["model"]]


def test_without_a_push_there_is_none(models, tmp_path):
    assert champion(models[1], models, tmp_path) == []


def test_it_is_the_model_that_is_served_and_never_the_candidate(models, tmp_path):
    push(models[0], tmp_path)
    assert champion(models[0], models, tmp_path) == []
    assert champion(models[2], models, tmp_path) == ["a"], "b was trained later, and refused"
    push(models[1], tmp_path)
    assert champion(models[2], models, tmp_path) == ["b"]
    assert champion(models[1], models, tmp_path) == ["a"], "as when b itself was judged"


def test_a_rollback_changes_the_champion(models, tmp_path):
    push(models[0], tmp_path)
    push(models[1], tmp_path)
    roll_back(tmp_path / "pushed")
    assert champion(models[2], models, tmp_path) == ["a"]


def test_a_version_of_another_metadata_store_is_passed_over(models, tmp_path):
    push(models[0], tmp_path)
    push(models[1], tmp_path)
    assert champion(models[2], [models[0], models[2]], tmp_path) == ["a"]


def verdict(number, model, beside):
    made = VerdictFolder()
    made.id = number
    if beside:
        made.set_string_custom_property(MODEL_URI, model.uri)
        made.set_string_custom_property(CHAMPION_URI, beside.uri)
    return made


def earlier(candidate, verdicts, models, tmp_path):
    given = {"model": list(models), "candidate": [candidate], "verdicts": verdicts}
    found = ChampionStrategy(str(tmp_path / "pushed")).resolve_artifacts(None, given)
    return [one.id for one in found["verdicts"]]


def test_verdicts_beside_a_champion_before_the_first_on_this_candidate_are_earlier_looks(models, tmp_path):
    first, second, third = models
    push(first, tmp_path)
    known = [verdict(9, third, first), verdict(5, second, first), verdict(3, first, None)]
    assert earlier(third, known, models, tmp_path) == [5]
    assert earlier(second, known, models, tmp_path) == [], "what came later is none of its own cached verdict"
    assert earlier(third, [*known, verdict(11, second, first)], models, tmp_path) == [5]
    assert earlier(first, known, models, tmp_path) == [], "no champion, no look"
    push(second, tmp_path)
    assert earlier(third, known, models, tmp_path) == [5, 9], "beside another champion it is judged anew"


def test_of_the_decisions_those_are_found_that_say_something_of_spans_that_have_drifted(models, tmp_path):
    decisions = []
    for number, said in ((4, '{"6": ["frozen features"]}'), (5, '{"7": []}'), (2, '{"6": []}'), (8, "")):
        one = DecisionFolder()
        one.id = number
        if said:
            one.set_string_custom_property(SPANS, said)
        decisions.append(one)
    given = {"model": list(models), "candidate": [models[0]], "decisions": decisions}
    found = ChampionStrategy(str(tmp_path / "pushed")).resolve_artifacts(None, given)
    assert [one.id for one in found["decisions"]] == [4]
    without = ChampionStrategy(str(tmp_path / "pushed")).resolve_artifacts(None, {**given, "decisions": []})
    assert without["decisions"] == []

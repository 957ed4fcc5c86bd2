"""Facts are found in what runs have left; every decision is filed, and a run that did not end goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from stand_in_run import StandIn

from evaluation.retraining.decision import Examined
from finetune.artifacts.example_list import ExampleList
from finetune.artifacts.run_summary import RunSummary
from finetune.config import Config, load_config
from finetune.errors import DataError, RunError
from pipeline.retraining import examination
from pipeline.retraining import retrain as retraining
from pipeline.retraining.facts import situation
from pipeline.retraining.lineage import Lineage, store_of
from registry.versions import roll_back, versions


class Place:
    """Data, a config, and `retrain` on them; `runs` says how runs end."""

    def __init__(self, folder: Path):
        self.folder, self.runs, self.examined = folder, StandIn(), Examined()
        raw = {
            "name": "shapes",
            "output_dir": str(folder / "out"),
            "data": {"root": str(folder / "data")},
            "backbone": {"name": "SmallCNN", "weights": "random", "image_size": 32},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(raw))

    def config(self, *overrides: str) -> Config:
        return load_config(self.folder / "config.yaml", overrides)

    def add(self, *names: str) -> None:
        for name in names:
            file = self.folder / "data" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(f"content of {name}".encode())

    def retrain(self, *overrides: str) -> RunSummary:
        return retraining.retrain(self.config(*overrides))

    def facts(self):
        config = self.config()
        return situation(config, Lineage(store_of(config))).facts


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    place = Place(tmp_path)
    place.add(*(f"{label}/{number}.png" for label in "ab" for number in range(10)))
    monkeypatch.setattr(retraining, "run_pipeline", place.runs)
    monkeypatch.setattr(retraining, "examine", lambda config, folder, found: place.examined)
    return place


def did(summary: RunSummary) -> tuple[str, str, list[str]]:
    decision = summary.decision
    return summary.status, decision.action, [reason.name for reason in decision.decisive]


NOTHING = ("nothing_to_do", "nothing to do", ["new examples"])


def test_what_a_run_has_judged_is_nothing_new_pushed_or_refused(place):
    assert did(place.retrain()) == ("pushed", "cold", ["champion"])
    assert did(place.retrain()) == NOTHING
    place.add("a/x.png", "a/y.png", "b/z.png")
    place.runs.status = "refused"
    assert did(place.retrain()) == ("refused", "warm", ["new examples"])
    facts = place.facts()
    assert (facts.examples, facts.unjudged, facts.made_with, facts.champion) == (23, 0, 20, 1)
    assert did(place.retrain()) == NOTHING


def test_new_examples_add_up_over_decisions_and_are_looked_into_once(place):
    place.retrain()
    place.add("a/x.png")
    assert did(place.retrain()) == NOTHING
    facts = place.facts()
    assert (facts.new, facts.undecided, facts.worth_examining) == (1, 0, False)
    place.add("b/y.png")
    facts = place.facts()
    assert (facts.new, facts.undecided) == (2, 1)
    assert did(place.retrain()) == ("pushed", "warm", ["new examples"])
    assert place.facts().made_with == 22


def test_a_label_that_changed_is_told_from_a_file_that_moved(place):
    place.retrain()
    (place.folder / "data/a/1.png").rename(place.folder / "data/b/moved.png")
    (place.folder / "data/a/2.png").rename(place.folder / "data/a/moved.png")
    facts = place.facts()
    assert (facts.new, facts.changed, facts.gone) == (0, 1, 0)


def test_a_run_that_failed_is_run_again_and_one_that_was_killed_goes_on(place):
    place.runs.status = "failed"
    first = place.retrain()
    assert did(first) == ("failed", "cold", ["champion"])
    place.runs.status = "judged"
    with pytest.raises(KeyboardInterrupt):
        place.retrain()
    place.runs.status = "pushed"
    done = place.retrain()
    # The decision of the first attempt.
    assert (done.status, done.decision) == ("pushed", first.decision)
    assert len(store_of(place.config()).get_artifacts_by_type("RetrainDecision")) == 1
    assert did(place.retrain()) == NOTHING


def test_a_killed_run_and_new_data_are_decided_on_together(place):
    place.retrain()
    place.add("a/x.png", "a/y.png")
    place.runs.status = "judged"
    with pytest.raises(KeyboardInterrupt):
        place.retrain()
    place.add("a/z.png")
    place.runs.status = "pushed"
    assert did(place.retrain()) == ("pushed", "warm", ["new examples", "unfinished"])


def test_after_a_rollback_the_champion_is_what_it_went_back_to_and_judged_data_stay_judged(place):
    place.retrain()
    place.add("a/x.png", "b/y.png")
    assert place.retrain().status == "pushed"
    roll_back(place.config().push_path)
    facts = place.facts()
    assert (facts.champion, facts.made_with, facts.unjudged) == (3, 20, 0)


def test_data_that_were_refused_are_not_looked_at_again(place):
    place.retrain()
    place.add("a/x.png")
    place.examined = Examined(refused="DataGate: blurred")
    stopped = place.retrain()
    assert did(stopped) == ("refused", "stop: data", ["data"])
    assert stopped.error == "DataGate: blurred"
    assert "DataGate: blurred" in Path(stopped.report).read_text()
    assert did(place.retrain()) == NOTHING


def test_data_are_refused_by_an_error_of_theirs_and_by_no_other(place):
    config = place.config()
    found = situation(config, Lineage(store_of(config)))

    def outcome(error: Exception, cause: Exception | None = None):
        def fail(*arguments: object) -> None:
            raise error from cause

        return examination.examine(config, place.folder, found, through=fail)

    assert outcome(DataError("too many are broken")).refused == "too many are broken"
    assert outcome(RunError("ImageExampleGen: torn"), DataError("torn")).refused == "ImageExampleGen: torn"
    with pytest.raises(RunError, match="another run"):
        outcome(RunError("another run is going on"))
    with pytest.raises(RunError, match="disk"):
        outcome(RunError("the disk is full"), OSError("full"))


def test_examples_of_a_champion_that_was_pushed_before_lists_were_kept_all_count(place):
    place.retrain()
    (path,) = (place.folder / "out/artifacts").glob("*/examples/example_list.json")
    path.unlink()
    assert place.facts().made_with is None
    assert did(place.retrain()) == ("pushed", "warm", ["new examples"])


def test_what_is_decided_is_on_disk_and_in_the_store(place):
    place.retrain()
    nothing = place.retrain()
    folder = Path(nothing.report).parent
    assert json.loads((folder / "decision.json").read_text())["action"] == "nothing to do"
    assert "Nothing to do" in Path(nothing.report).read_text()
    assert not ExampleList.path(folder).exists()
    recorded = sorted(store_of(place.config()).get_artifacts_by_type("RetrainDecision"), key=lambda one: one.id)
    assert [one.custom_properties["action"].string_value for one in recorded] == ["cold", "nothing to do"]
    assert [one.custom_properties["ended"].string_value for one in recorded] == ["pushed", ""]
    explained = retraining.explain(place.config())
    assert explained.action == "nothing to do"
    assert len(store_of(place.config()).get_artifacts_by_type("RetrainDecision")) == 2


def test_old_decisions_go_but_for_the_latest_that_looked_into_examples(place, monkeypatch):
    monkeypatch.setattr(retraining, "KEPT", 2)
    place.retrain()
    for _ in range(3):
        place.retrain()
    folders = sorted((place.folder / "out/decisions").iterdir())
    assert [ExampleList.path(folder).is_file() for folder in folders] == [True, False, False]
    assert versions(place.config().push_path) == [1]


def test_training_goes_on_from_the_champion_but_for_every_so_many_and_where_it_cannot(place):
    actions = []
    for number in range(4):
        actions.append(place.retrain("retrain.cold_every=3", "retrain.min_new=0.01").decision.action)
        place.add(f"a/more{number}.png")
    assert actions == ["cold", "warm", "warm", "cold"]
    assert "another preprocessing" in why_cold(place, "backbone.image_size=16")
    assert why_cold(place, "training.head.units=[8]").startswith("Training begins from the backbone, as the champion's")


def why_cold(place: Place, override: str) -> str:
    decision = retraining.explain(place.config(override, "retrain.min_new=0.01"))
    assert decision.action == "cold"
    return {reason.name: reason for reason in decision.reasons}["start"].sentence

"""`training.strategy: auto` on a handful of pictures: what it tries and keeps, and that a kill changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from finetune.config import AugmentationConfig, CheckpointConfig, TrainingConfig

pytest.importorskip("tensorflow")

from small_training import make_splits, setup_of

from trainer_module import recipe
from trainer_module.examples.input_data import both, labels
from trainer_module.fitted_head import LastLayer
from trainer_module.peft.adapters import weights_of
from trainer_module.phases.checkpoint import Checkpoints, fingerprint
from trainer_module.phases.phase import BadNumbersError
from trainer_module.phases.state import Snapshot
from trainer_module.search import run as search_run
from trainer_module.search import trials
from trainer_module.search.candidates import PROBE, Candidate, _to_the_end
from trainer_module.search.decisions import Measured, compare
from trainer_module.search.kept_weights import KeptWeights
from trainer_module.search.parts import parts_of_train
from trainer_module.search.record import SearchRecord

pytestmark = pytest.mark.by_test

PLAIN = AugmentationConfig()
FLIPS = AugmentationConfig(horizontal_flip=True)
QUICK = (
    PROBE,
    Candidate("top", "The top.", (_to_the_end("top", {"last_blocks": 1}, 2, 3e-2, PLAIN),)),
    Candidate("all", "All.", (_to_the_end("all", "all", 3, 1e-3, FLIPS),), label_smoothing=0.1),
)


class KilledError(Exception):
    """Stands in for a kill."""


def auto(**changes) -> TrainingConfig:
    return TrainingConfig(**{"strategy": "auto", "batch_size": 8, "budget_minutes": 100, **changes})


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return make_splits(tmp_path_factory.mktemp("examples"))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(search_run, "candidates_for", lambda *_: QUICK)


def search(splits, folder, config: TrainingConfig, lives=10**9, task="single_label"):
    """Runs a search that is killed when checkpoints and the record have been written so many times."""
    setup = setup_of(splits, config, FLIPS, folder=folder / "kept", task=task)
    left = [lives]

    def age() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KilledError

    class Mortal(Checkpoints):
        def save(self, state):
            super().save(state)
            age()

    def opened(setup, name):
        key = fingerprint({"phases": [phase.model_dump(mode="json") for phase in setup.training.phases]})
        return Mortal(folder / name, key, CheckpointConfig(), "Trainer")

    trained = search_run.run_search(setup, folder / "search", "key", opened)
    return setup, trained


def test_it_tries_all_and_keeps_the_simplest_that_nothing_beats(splits, tmp_path, quick):
    setup, trained = search(splits, tmp_path, auto(refit=False))
    found = trained.search
    assert [each.name for each in found.candidates] == ["probe", "top", "all"]
    assert trained.averaging.reason, "whether the mean with mirror images pays is measured at the end"
    assert all(each.seconds > 0 and each.reason and each.val_loss >= 0 for each in found.candidates)
    first, *others = found.candidates
    assert first.gain is None
    assert {each.against for each in others} <= {"probe", "top"}
    assert found.chosen in ("probe", "top", "all")
    assert found.val_examples == 9
    # What is in the model is what was chosen.
    record = SearchRecord.find(tmp_path / "search")
    (logits,) = record.logits(tmp_path / "search", found.chosen)
    np.testing.assert_allclose(LastLayer(setup).logits(setup.val), logits, rtol=1e-4, atol=1e-4)


def test_several_labels_are_searched_as_well(tmp_path, quick):
    splits = make_splits(tmp_path, "multi_label")
    setup, trained = search(splits, tmp_path, auto(), task="multi_label")
    probe, *others = trained.search.candidates
    assert all(each.seconds for each in (probe, *others))
    assert trained.refit.examples == 30
    assert trained.held_out.labels.shape[1] == 2
    batches = [setup.model(value, training=False).numpy() for value, _ in recipe.evaluation_batches(setup.val, 4)]
    targets = setup.task.targets(labels(setup.val).numpy(), 2)
    served = setup.task.of_logits(targets, LastLayer(setup).logits(setup.val)).probabilities
    np.testing.assert_allclose(np.concatenate(batches), served, atol=1e-5)


@pytest.mark.parametrize("refit", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_killed_search_goes_on_to_the_same_weights_with_the_same_candidates(
    splits, tmp_path, quick, monkeypatch, refit
):
    # A candidate that wins, so that there is a last fit of more than a head, and parts of train that judge as well.
    monkeypatch.setattr(search_run, "choose", lambda scores: ("all", {}))
    monkeypatch.setattr(search_run, "still_open", list)
    undisturbed, expected = search(splits, tmp_path / "a", auto(refit=refit))
    measured = []
    measure = search_run.measure

    def once(setup):
        measured.append(setup)
        # Later lives measure a machine so slow that nothing would fit.
        return measure(setup) if len(measured) == 1 else Measured(1e6, 1e6)

    monkeypatch.setattr(search_run, "measure", once)
    lives = 0
    while True:
        lives += 1
        assert lives < 30
        try:
            setup, found = search(splits, tmp_path / "b", auto(refit=refit), lives=4 if lives < 12 else 10**9)
            break
        except KilledError:
            continue
    assert lives > 6, "the lives before were meant to be too short"
    assert len(measured) == 1
    assert found.curves == expected.curves
    for one, other in zip(undisturbed.model.get_weights(), setup.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    if refit:
        assert found.refit.examples == 30
        assert found.refit.steps == 9
    one, other = (SearchRecord.find(tmp_path / folder / "search") for folder in ("a", "b"))
    assert one.parts == other.parts == [["probe", "top", "all"]] * 2
    for name in one.done:
        np.testing.assert_array_equal(
            one.logits(tmp_path / "a" / "search", name), other.logits(tmp_path / "b" / "search", name)
        )


def test_parts_of_train_judge_while_the_choice_is_open(splits, tmp_path, quick, monkeypatch, heard):
    opened = []
    monkeypatch.setattr(search_run, "still_open", lambda scores: opened.append(scores) or ["probe", "top"])
    _, trained = search(splits, tmp_path, auto(refit=False))
    found, record = trained.search, SearchRecord.find(tmp_path / "search")
    assert found.parts == 2
    assert record.parts == [["probe", "top"]] * 2
    # The validation split, then each part of train, which is half of it, as it is that small.
    assert [len(each["probe"].losses) for each in opened] == [9, 9 + 11, 30]
    assert [np.isnan(each["all"].losses).sum() for each in opened] == [0, 11, 21]
    _, top, every = found.candidates
    assert (top.examples, every.examples) == (30, 9)
    assert top.seconds == pytest.approx(sum(record.done[name].seconds for name in ("top", "top-2", "top-3")))
    assert found.seconds == pytest.approx(record.seconds)
    told = [event.text for event in heard if "not clear yet" in getattr(event, "text", "")]
    assert len(told) == 2
    assert "probe, top are tried with 11 examples of train held out in their turn" in told[0]
    # What judges has trained neither the head nor anything else.
    fresh = setup_of(splits, auto(), FLIPS, folder=tmp_path / "kept")
    last_layer, (part, _) = LastLayer(fresh), parts_of_train(fresh.train, fresh.val, fresh.training.seed)
    assert not set(part.train.keys[:10]) & set(part.held_out.keys)
    last_layer.fit(part.train)
    kept = record.logits(tmp_path / "search", "probe-2")
    np.testing.assert_allclose(last_layer.logits_of_both(part.held_out), kept, rtol=1e-4, atol=1e-5)
    assert not list((tmp_path / "search" / "top-2").glob("*")), "of what is done, no checkpoint is kept"


@pytest.mark.parametrize("parts", [0, 2])
def test_the_mean_of_the_last_fit_and_of_what_parts_of_train_judged_goes_out(
    splits, tmp_path, quick, monkeypatch, parts
):
    monkeypatch.setattr(search_run, "choose", lambda scores: ("all", {}))
    monkeypatch.setattr(search_run, "still_open", list if parts else lambda scores: [])
    fitted, refit, made = [], search_run.refit, []
    monkeypatch.setattr(search_run, "KeptWeights", lambda *given: made.append(KeptWeights(*given)) or made[0])

    def last_fit(*arguments):
        trained = refit(*arguments)
        fitted.append(Snapshot.of(arguments[0].model))
        return trained

    monkeypatch.setattr(search_run, "refit", last_fit)
    setup, trained = search(splits, tmp_path, auto())
    found = Snapshot.of(setup.model).weights
    assert trained.refit.averaged == (parts + 1 if parts else 0)
    (kept,), all_of = made, [fitted[0].weights]
    for name in ("all", "all-2", "all-3")[: trained.refit.averaged]:
        kept.bring(name)
        all_of.append(Snapshot.of(setup.model).weights)
    assert len({each[-1].tobytes() for each in all_of}) == len(all_of), "each was trained on other examples"
    for number, value in enumerate(found):
        np.testing.assert_allclose(value, np.mean([each[number] for each in all_of], axis=0), rtol=1e-4, atol=1e-6)


def test_without_room_no_part_of_train_judges(splits, tmp_path, quick, monkeypatch):
    monkeypatch.setattr(search_run, "still_open", list)
    monkeypatch.setattr(search_run, "that_go_on", lambda *_: [])
    _, trained = search(splits, tmp_path, auto(refit=False))
    assert trained.search.parts == 0
    assert {each.examples for each in trained.search.candidates} == {None, 9}


@pytest.mark.parametrize(("chosen", "refit"), [("top", True), ("all", False)])
def test_a_part_takes_the_room_of_the_last_fit_of_what_is_too_dear_for_it(
    splits, tmp_path, quick, monkeypatch, chosen, refit
):
    monkeypatch.setattr(search_run, "measure", lambda setup: Measured(0.0, 0.0))
    run = trials.Trials.run

    def timed(self, candidate, part):
        done, logits = run(self, candidate, part)
        return done.model_copy(update={"seconds": {"probe": 100, "top": 3_000, "all": 10_000}[candidate.name]}), logits

    monkeypatch.setattr(trials.Trials, "run", timed)
    monkeypatch.setattr(search_run, "still_open", list)
    # Until the end the probe is the choice.
    monkeypatch.setattr(
        search_run, "choose", lambda scores: (chosen if len(scores["probe"].losses) > 9 else "probe", {})
    )
    _, trained = search(splits, tmp_path, auto(budget_minutes=350))
    record = SearchRecord.find(tmp_path / "search")
    assert record.parts == [["probe", "top"]]
    assert record.as_trained == ["all"]
    assert (trained.refit is not None) == refit


def test_a_candidate_that_diverges_on_a_part_is_left_out(splits, tmp_path, quick, monkeypatch):
    monkeypatch.setattr(search_run, "still_open", list)
    run_phases = trials.run_phases

    def diverges(setup, checkpoints):
        if setup.trial == "all-2":
            raise BadNumbersError("phase all, epoch 1: the loss of step 1 became nan")
        return run_phases(setup, checkpoints)

    monkeypatch.setattr(trials, "run_phases", diverges)
    _, trained = search(splits, tmp_path, auto(refit=False))
    *_, every = trained.search.candidates
    assert "became nan" in every.reason
    assert every.seconds is None
    assert SearchRecord.find(tmp_path / "search").parts == [["probe", "top", "all"], ["probe", "top"]]


def test_what_does_not_fit_is_left_out_and_the_probe_never(splits, tmp_path, quick, monkeypatch):
    monkeypatch.setattr(search_run, "measure", lambda setup: Measured(30.0, 1.0))
    _, trained = search(splits, tmp_path, auto(budget_minutes=0.5))
    probe, top, every = trained.search.candidates
    assert trained.search.chosen == "probe"
    assert probe.val_loss is not None
    assert top.seconds is every.seconds is None
    assert "training.budget_minutes has no room" in every.reason
    # The last fit is of the head, on both splits; its logits are of folds that each fit had not seen.
    assert trained.refit.examples == 30
    assert trained.held_out.logits.shape == (30, 2)
    assert trained.held_out.examples == "held-out folds of train and val"


def test_a_candidate_whose_last_fit_has_no_room_goes_out_as_the_search_trained_it(splits, tmp_path, quick, monkeypatch):
    monkeypatch.setattr(search_run, "measure", lambda setup: Measured(30.0, 0.1))

    def last(scores):
        taken = list(scores)[-1]
        return taken, {taken: ("probe", compare(scores["probe"], scores[taken]))}

    monkeypatch.setattr(search_run, "choose", last)
    _, trained = search(splits, tmp_path, auto(budget_minutes=1.0))
    assert trained.search.chosen == "all"
    assert trained.search.reason.endswith("has no room to train it once more on train and val together")
    assert trained.refit is None
    assert trained.held_out.examples == "the validation split and 2 parts of train that were held out"
    assert len(trained.held_out.labels) == len(trained.held_out.logits) == 30
    assert [row["name"] for row in trained.rows] == ["all"]


def test_what_is_measured_trains_all_layers_whatever_comes_last(splits, tmp_path, monkeypatch):
    own = Candidate("own_phases", "The head.", (_to_the_end("head", {"last_layers": 0}, 1, 1e-3, PLAIN),))
    monkeypatch.setattr(search_run, "candidates_for", lambda *_: (*QUICK, own))
    measured = []
    monkeypatch.setattr(search_run, "measure", lambda setup: measured.append(setup) or Measured(1e6, 1e6))
    search(splits, tmp_path, auto(refit=False))
    (setup,) = measured
    assert setup.training.phases[0].unfreeze.last_layers == "all"


def test_a_candidate_that_diverges_or_that_the_backbone_refuses_is_left_out(splits, tmp_path, monkeypatch):
    bad = (
        PROBE,
        Candidate("none", "Too deep.", (_to_the_end("none", {"last_blocks": 99}, 1, 1e-3, PLAIN),)),
        Candidate("wild", "Too fast.", (_to_the_end("wild", "all", 1, 1e-3, PLAIN),)),
    )
    monkeypatch.setattr(search_run, "candidates_for", lambda *_: bad)

    def diverges(*_):
        raise BadNumbersError("phase wild, epoch 1: the loss of step 1 became nan")

    monkeypatch.setattr(trials, "run_phases", diverges)
    _, trained = search(splits, tmp_path, auto(refit=False))
    _, none, wild = trained.search.candidates
    assert "last_blocks: got 99" in none.reason
    assert "became nan" in wild.reason
    assert trained.search.chosen == "probe"


def test_another_seed_or_a_torn_record_searches_anew(tmp_path):
    record = SearchRecord.opened(tmp_path, "one").measured(tmp_path, 1.0, {"probe": 0.0}, {}, [])
    assert SearchRecord.opened(tmp_path, "one") == record
    SearchRecord.path(tmp_path).write_text("{")
    assert not SearchRecord.opened(tmp_path, "one").expected
    record = SearchRecord.opened(tmp_path, "one").measured(tmp_path, 1.0, {"probe": 0.0}, {}, [])
    assert not SearchRecord.opened(tmp_path, "other").expected
    assert not tmp_path.exists()


def test_the_fitted_head_is_the_same_from_kept_features_and_gives_the_logits_that_the_network_gives(splits, tmp_path):
    fitted = {"start": "fitted"}
    off, on = (
        setup_of(splits, auto(head=fitted, frozen_features=mode), FLIPS, folder=tmp_path / "kept")
        for mode in ("off", "on")
    )
    one, other, again = (LastLayer(setup).fit(setup.train) for setup in (off, on, on))
    np.testing.assert_allclose(one.kernel, other.kernel, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(other.kernel, again.kernel)
    assert any(path.is_file() for path in (tmp_path / "kept").rglob("*"))
    logits = LastLayer(on).logits(on.val)
    probabilities = on.task.of_logits(on.task.targets(labels(on.val).numpy(), 2), logits).probabilities
    batches = [on.model(value, training=False).numpy() for value, _ in recipe.evaluation_batches(on.val, 4)]
    np.testing.assert_allclose(np.concatenate(batches), probabilities, atol=1e-5)
    before = probabilities.argmax(axis=1)
    LastLayer(on).divide_by(2.5)
    np.testing.assert_allclose(LastLayer(on).logits(on.val), logits / 2.5, rtol=1e-4, atol=1e-5)
    assert (LastLayer(on).logits(on.val).argmax(axis=1) == before).all()


def test_a_mirror_image_goes_through_the_network_once_however_often_a_head_is_fitted(splits, tmp_path, monkeypatch):
    setup = setup_of(splits, auto(), FLIPS, folder=tmp_path / "kept")
    together = both(setup.train, setup.val)
    at_once = LastLayer(setup).fit(together)
    last_layer, mirrored_examples = LastLayer(setup), []
    values = LastLayer._values

    def counted(self, split, *change):
        if change:
            mirrored_examples.append(split.examples)
        return values(self, split, *change)

    monkeypatch.setattr(LastLayer, "_values", counted)
    last_layer.fit(setup.train)
    step_by_step = last_layer.fit(together)
    assert mirrored_examples == [21, 9]
    np.testing.assert_allclose(step_by_step.kernel, at_once.kernel, rtol=1e-3, atol=1e-5)


def test_with_updates_of_low_rank_all_candidates_train_them_alone_and_so_does_the_last_fit(splits, tmp_path, quick):
    config = auto(peft={"rank": 2, "targets": ["conv"]})
    base = {
        name: value for name, value in weights_of(setup_of(splits, config).backbone).items() if "_lora_" not in name
    }
    setup, trained = search(splits, tmp_path, config)
    assert not {each.reason for each in trained.search.candidates if each.seconds is None}, "all were tried"
    assert trained.refit is not None
    now = weights_of(setup.backbone)
    assert all(now[name].tobytes() == value.tobytes() for name, value in base.items())

"""What a search decides, without TensorFlow: what fits the budget, who wins, what the last fit repeats."""

from __future__ import annotations

import math

import numpy as np
import pytest

from finetune.config import AugmentationConfig, PhaseConfig, TrainingConfig
from trainer_module.frozen_features.plan import RATES
from trainer_module.frozen_features.planner import Graph, Planner
from trainer_module.frozen_features.recorded import recorded
from trainer_module.phases.freezing import check_phases
from trainer_module.search.candidates import (
    CANDIDATES,
    PICTURES,
    PROBE,
    TEXTS,
    Candidate,
    candidates_for,
    joined,
    last_fit,
    mean_shares,
    training_of,
)
from trainer_module.search.decisions import (
    MOST_PARTS,
    Measured,
    Room,
    Scores,
    choose,
    compare,
    expected_seconds,
    how_many,
    still_open,
    that_fit,
    that_go_on,
)
from transforms.features import IMAGE_TEXT
from transforms.modalities import MODALITIES

AUTO = TrainingConfig(strategy="auto")
MOBILE_NET = recorded("MobileNetV2", {"alpha": 0.35})


def planner(*phases: PhaseConfig, train=640, val=64, **changes) -> Planner:
    training = TrainingConfig(strategy="auto", **changes).model_copy(update={"phases": list(phases)})
    graph = Graph(MOBILE_NET.with_head(), MOBILE_NET.layers, None, True)
    return Planner(training, AugmentationConfig(), graph, train, val, RATES["cpu"])


def phase(unfreeze="all", epochs=1, **changes) -> PhaseConfig:
    return PhaseConfig(name="one", unfreeze=unfreeze, epochs=epochs, learning_rate=1e-3, **changes)


def test_all_layers_cost_a_step_for_each_batch_and_a_third_of_it_for_each_look():
    measured = Measured(start=7.0, step=2.0)
    # 20 batches of train in an epoch, 2 of val, seen once before and once after.
    assert expected_seconds(measured, planner(phase())) == pytest.approx(7 + 2 * (20 + 2 * 2 / 3))
    assert expected_seconds(measured, planner(phase(epochs=3))) == pytest.approx(7 + 2 * (60 + 4 * 2 / 3))
    assert expected_seconds(measured, planner(phase(), phase())) == 2 * expected_seconds(measured, planner(phase()))
    assert expected_seconds(measured, planner()) == 0


def test_a_top_on_kept_features_costs_one_pass_of_the_rest_and_little_more():
    measured, top = Measured(0.0, 1.0), phase({"last_blocks": 2}, epochs=30)
    kept, never = (planner(top, frozen_features=mode) for mode in ("on", "off"))
    share = kept.share_above(0)
    assert 0 < share < 0.3
    assert never.share_above(0) == share
    below = (1 - share) / 3
    assert expected_seconds(measured, kept) == pytest.approx(22 * below + share * (600 + 31 * 2 / 3))
    assert expected_seconds(measured, never) == pytest.approx((600 + 31 * 2) * below + share * (600 + 31 * 2 / 3))
    copies = planner(top.model_copy(update={"augmentation": AugmentationConfig(horizontal_flip=True, views=4)}))
    assert expected_seconds(measured, copies) == pytest.approx((82) * below + share * (600 + 31 * 2 / 3))


A, S, N = Room.ALL, Room.NO_LAST_FIT, Room.NONE


@pytest.mark.parametrize(
    ("expected", "last", "spent", "budget", "rooms"),
    [
        ([0, 10, 20, 100], [0, 0, 0, 0], 5, 135, [A, A, A, A]),
        ([0, 10, 20, 100], [0, 0, 0, 0], 6, 135, [A, A, N, A]),
        ([0, 10, 20, 100], [0, 0, 0, 0], 6, 105, [A, A, A, N]),
        # A last fit of the dearest must have room too.
        ([0, 10, 20, 100], [0, 12, 24, 120], 5, 255, [A, A, A, A]),
        ([0, 10, 20, 100], [0, 12, 24, 120], 5, 254, [A, A, N, A]),
        # Where it has none, the candidate may, beside the last fit of another that may be chosen.
        ([0, 10, 20, 100], [0, 12, 24, 120], 5, 224, [A, A, A, S]),
        ([0, 10, 20, 100], [0, 12, 24, 120], 5, 159, [A, A, A, S]),
        ([0, 10, 20, 100], [0, 12, 24, 120], 5, 158, [A, A, A, N]),
        ([0, 200, 300], [0, 240, 360], 80, 519, [A, N, S]),
        ([0, 200, 300], [0, 240, 360], 80, 520, [A, A, N]),
        ([0, 100, 10], [0, 0, 0], 5, 105, [A, A, N]),
        # One that is cheaper than the one before may still fit.
        ([0, 50, 10], [0, 50, 10], 5, 40, [A, N, A]),
        ([0, 1], [0, 1], 600, 600, [A, N]),
        ([0], [0], 1e9, 1, [A]),
        ([], [], 0, 1, []),
    ],
)
def test_what_fits(expected, last, spent, budget, rooms):
    assert that_fit(expected, last, spent, budget) == rooms


def scores(losses, hits=None) -> Scores:
    return Scores(np.array(losses, float), np.array(hits or [1] * len(losses), float))


def test_the_gain_is_paired_and_must_be_beyond_its_standard_error():
    # Hard and easy examples spread far more than the gain does.
    simple = scores([0.1, 5.0, 0.2, 4.0])
    better = scores([0.0, 4.8, 0.1, 3.8])
    found = compare(simple, better)
    assert found.gain == pytest.approx(0.15)
    assert found.standard_error == pytest.approx(np.std([0.1, 0.2, 0.1, 0.2], ddof=1) / 2)
    assert found.wins
    noisy = scores([-0.9, 5.0, 0.2, 4.0])
    assert compare(simple, noisy).gain > 0
    assert not compare(simple, noisy).wins
    assert "not beyond it, and probe is simpler" in compare(simple, noisy).reason("probe")
    assert "0.15" in compare(better, simple).reason("probe")
    assert not compare(better, simple).wins
    assert compare(simple, simple).reason("probe").endswith("not lower than that of probe, but the same")


def test_a_lower_accuracy_never_wins_and_one_example_tells_nothing():
    found = compare(scores([1.0, 1.1, 1.2]), scores([0.1, 0.1, 0.1], [1, 1, 0]))
    assert found.gain > found.standard_error
    assert not found.wins
    assert "but its accuracy is lower by 0.3333" in found.reason("probe")
    assert math.isinf(compare(scores([1.0]), scores([0.0])).standard_error)
    assert not compare(scores([1.0]), scores([0.0])).wins


def test_each_is_held_against_the_one_taken_so_far():
    table = {
        "probe": scores([1.0, 1.1, 0.9]),
        "same": scores([1.0, 1.1, 0.9]),
        "better": scores([0.5, 0.6, 0.45]),
        "worse": scores([0.8, 0.9, 0.7]),
    }
    taken, held = choose(table)
    assert taken == "better"
    assert [against for against, _ in held.values()] == ["probe", "probe", "better"]
    assert choose({"probe": scores([1.0])}) == ("probe", {})


def test_candidates_are_compared_where_both_were_tried():
    nan = math.nan
    found = compare(scores([1.0, 2.0, 3.0, 4.0], [1, 0, 1, 0]), scores([0.5, nan, 2.3, nan], [1, nan, 0, nan]))
    assert found.examples == 2
    assert found.gain == pytest.approx(0.6)
    assert found.standard_error == pytest.approx(0.1)
    assert found.more_right == -0.5
    assert "on 2 examples" in found.reason("probe")
    joined = Scores.of_parts([scores([1.0]), Scores.unknown(2)])
    assert joined.losses.tolist()[:1] == [1.0]
    assert np.isnan(joined.hits[1:]).all()


def test_of_several_scores_each_example_has_the_mean_of_those_that_it_is_in():
    found = Scores.mean_of(4, [(np.array([2, 0]), scores([1.0, 3.0], [1, 0])), (np.array([0, 3]), scores([5.0, 7.0]))])
    np.testing.assert_array_equal(found.losses, [4.0, np.nan, 1.0, 7.0])
    np.testing.assert_array_equal(found.hits, [0.5, np.nan, 1.0, 1.0])


def test_the_choice_is_open_to_what_is_not_worse_beyond_two_standard_errors():
    simple = [1.0, 1.0, 1.0, 1.0]
    for losses, open_ in {
        (0.6, 0.9, 0.9, 1.0): True,  # Taken, by less than two standard errors.
        (0.8, 0.9, 0.9, 0.8): False,
        (1.0, 1.0, 1.0, 1.0): False,  # Nothing differs.
        (1.1, 1.3, 1.1, 0.9): True,
        (1.1, 1.2, 1.1, 1.2): False,
    }.items():
        table = {"probe": scores(simple), "other": scores(losses), "hopeless": scores([9.0, 9.1, 9.0, 9.1])}
        assert still_open(table) == (["probe", "other"] if open_ else []), losses
    # Lower for good, and not taken for its accuracy.
    assert still_open({"probe": scores(simple), "other": scores([0.5, 0.6, 0.5, 0.6], [1, 1, 1, 0])})
    assert not still_open({"probe": scores(simple)})


@pytest.mark.parametrize(
    ("open_", "room", "going"),
    [
        # Those that are open, the first of them taken.
        (["probe", "top", "all"], 2 + 30 + 100 + 120, ["probe", "top", "all"]),
        # Cheap ones before dear ones, each with room for its last fit.
        (["probe", "top", "all"], 2 + 30 + 100 + 119, ["probe", "top"]),
        (["probe", "top", "all"], 2 + 30 + 36, ["probe", "top"]),
        (["probe", "top", "all"], 2 + 30 + 35, []),
        # The last fit of the choice so far keeps its room.
        (["all", "probe", "top"], 2 + 30 + 120, ["probe", "top"]),
        (["all", "probe", "top"], 2 + 30 + 119, []),
        # Heads are fitted in any case; one alone has nothing to be held against.
        (["top", "all"], 2 + 30 + 100 + 120, ["probe", "top", "all"]),
        (["top", "all"], 2 + 30 + 120, []),
    ],
)
def test_who_goes_on_to_one_more_part(open_, room, going):
    seconds, last_fits = {"probe": 2, "top": 30, "all": 100}, {"probe": 0, "top": 36, "all": 120}
    assert that_go_on(open_, open_[0], seconds, last_fits, room) == going


def test_every_modality_has_candidates():
    assert set(MODALITIES) - {IMAGE_TEXT} <= set(CANDIDATES), "`auto` is refused for two networks"


@pytest.mark.parametrize("kind", CANDIDATES)
def test_candidates_are_valid_and_begin_with_the_probe(kind):
    first, *others = found = candidates_for(kind, AUTO, AugmentationConfig())
    assert first == PROBE
    assert not first.phases
    names = [each.name for each in found]
    assert len(set(names)) == len(names)
    phases = [phase.name for each in found for phase in each.phases]
    assert len(set(phases)) == len(phases), "phases of all candidates share a report"
    for each in others:
        training = training_of(each, AUTO)
        assert TrainingConfig.model_validate(training.model_dump()) == training
        assert each.why.endswith(".")


def test_a_kind_that_the_table_does_not_know_has_the_probe():
    assert candidates_for("sound", AUTO, AugmentationConfig()) == (PROBE,)


def test_pictures_fit_the_backbones_that_are_recorded():
    for each in PICTURES:
        check_phases(MOBILE_NET.layers, training_of(each, AUTO))


def test_flips_are_made_where_the_config_allows_them_and_its_changes_win():
    wanted = AugmentationConfig(horizontal_flip=True, random_resized_crop=0.5, brightness=0.1)
    assert not joined(wanted, AugmentationConfig()).horizontal_flip
    own = AugmentationConfig(horizontal_flip=True, brightness=0.3, rotation=0.1, views=3)
    found = joined(wanted, own)
    assert (found.horizontal_flip, found.brightness, found.rotation) == (True, 0.3, 0.1)
    assert (found.random_resized_crop, found.views) == (0.5, "fresh")
    *_, dearest = candidates_for("image", AUTO, own)
    assert dearest.phases[0].augmentation.rotation == 0.1


def test_phases_of_ones_own_are_the_last_candidate():
    training = TrainingConfig(strategy="auto", phases=[phase()])
    *known, own = candidates_for("text", training, AugmentationConfig())
    assert tuple(known) == TEXTS
    assert own.phases == (phase(),)
    assert training_of(own, training).phases == [phase()]


def test_label_smoothing_of_the_config_wins_and_focal_loss_has_none():
    smooth = Candidate("a", "A.", (phase(),), label_smoothing=0.1)
    assert training_of(smooth, AUTO).label_smoothing == 0.1
    assert training_of(smooth, TrainingConfig(strategy="auto", label_smoothing=0.2)).label_smoothing == 0.2
    assert training_of(smooth, TrainingConfig(strategy="auto", focal_gamma=2.0)).label_smoothing == 0


def test_a_phase_goes_as_far_in_the_last_fit_as_the_mean_of_all_parts():
    kept = {"epochs": 9, "best_epoch": 5, "interpolation": None}
    parts = [[kept, {"epochs": 3, "best_epoch": 3, "interpolation": share}] for share in (0.0, 0.5, 1.0)]
    assert mean_shares(*parts) == [kept, {"epochs": 3, "best_epoch": 3, "interpolation": 0.5}]
    assert mean_shares(parts[1]) == parts[1]
    assert mean_shares([], []) == []


def test_the_last_fit_repeats_the_steps_that_were_best_without_looking():
    training = TrainingConfig(
        phases=[
            phase(epochs=9, early_stopping={"patience": 2}).model_copy(update={"name": "a"}),
            phase(epochs=9).model_copy(update={"name": "gained_nothing"}),
            PhaseConfig(name="c", steps=25, learning_rate=1, keep="last", interpolation="validation"),
            PhaseConfig(name="went_back", epochs=3, learning_rate=1, interpolation="validation"),
        ]
    )
    rows = [
        {"epochs": 7, "best_epoch": 5},
        {"epochs": 5, "best_epoch": 0},
        {"epochs": 3, "best_epoch": 3, "interpolation": 0.6},
        {"epochs": 3, "best_epoch": 3, "interpolation": 0.0},
    ]
    first, second = last_fit(training, rows, steps_per_epoch=10).phases
    assert (first.name, first.steps, first.epochs, first.early_stopping) == ("refit_a", 50, None, None)
    assert first.keep == "last"
    assert (second.name, second.steps, second.interpolation) == ("refit_c", 25, 0.6)
    assert last_fit(AUTO, [], 10).phases == []


def test_parts_are_as_large_as_validation_within_a_tenth_and_half():
    assert [how_many(train, val) for train, val in ((525, 75), (20, 15), (10, 100), (1_000_000, 1_000))] == [
        7,
        2,
        2,
        10,
    ]
    assert MOST_PARTS < 7

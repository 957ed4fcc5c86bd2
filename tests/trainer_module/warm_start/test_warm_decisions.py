"""What a warm start does with classes and phases, without TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest

from finetune.artifacts.training_history import BackboneOrigin
from finetune.config import AugmentationConfig, PhaseConfig, TrainingConfig
from finetune.errors import BackboneError, RunError
from trainer_module.search.candidates import candidates_for
from trainer_module.warm_start.classes import ClassChange, columns_in_order
from trainer_module.warm_start.course import shortened, warm_training
from trainer_module.warm_start.state import FILE, StateFacts, TrainingState

FACTS = StateFacts(
    classes=["a", "b"],
    backbone=BackboneOrigin(name="SmallCNN", source="here.h5", sha256="1" * 64),
    shapes=[[3, 2]],
    preprocessing={"image_size": 32, "scaling": "none"},
    units=[],
    moved=True,
    recipe="all_layers_briefly",
)


def test_classes_that_came_and_went_are_named():
    change = ClassChange.between(["a", "b", "c"], ["b", "c", "d"])
    assert (change.kept, change.added, change.vanished) == (("b", "c"), ("d",), ("a",))
    assert str(change) == "d came and a went"
    assert str(ClassChange.between(["b", "a"], ["a", "b"])) == "the classes are the same"


@pytest.mark.parametrize("now", [["b", "new", "a"], ["a"], ["new", "other", "b"]])
def test_columns_move_with_their_class_and_new_ones_begin_fresh(now):
    random = np.random.default_rng(1)
    kernel, offset = random.normal(size=(5, 3)), random.normal(size=3)
    fresh = random.normal(size=(5, len(now)))
    grown = columns_in_order(kernel, ["a", "gone", "b"], fresh, now)
    grown_offset = columns_in_order(offset, ["a", "gone", "b"], np.zeros(len(now)), now)
    values = random.normal(size=(7, 5))
    before, after = values @ kernel + offset, values @ grown + grown_offset
    for column, name in enumerate(now):
        if name in ("a", "b"):
            np.testing.assert_allclose(after[:, column], before[:, {"a": 0, "b": 2}[name]], atol=1e-5)
        else:
            np.testing.assert_array_equal(grown[:, column], fresh[:, column])


def phases(*names: str) -> list[PhaseConfig]:
    made = {
        "head": PhaseConfig(name="head", epochs=20, learning_rate=1e-2),
        "tune": PhaseConfig(
            name="tune", unfreeze="all", epochs=10, learning_rate=1e-4, schedule={"name": "cosine", "warmup_epochs": 2}
        ),
        "steps": PhaseConfig(name="steps", unfreeze={"last_blocks": 1}, steps=3, learning_rate=1e-4),
    }
    return [made[name] for name in names]


def course(training: TrainingConfig, recipe="", moved=True, grown=False) -> TrainingConfig:
    candidates = candidates_for("image", training, AugmentationConfig())
    return warm_training(training, candidates, recipe, moved, grown)


def test_phases_take_a_share_of_their_time_and_a_head_that_knows_its_classes_needs_none_of_its_own():
    training = TrainingConfig(phases=phases("head", "tune", "steps"), warm_share=0.25)
    tune, steps = course(training).phases
    assert (tune.name, tune.epochs, tune.schedule.warmup_epochs) == ("tune", 2, 0.5)
    assert (steps.steps, steps.epochs) == (1, None)
    assert [phase.name for phase in course(training, grown=True).phases] == ["head", "tune", "steps"]
    alone = TrainingConfig(phases=phases("head"))
    assert [phase.epochs for phase in course(alone).phases] == [5]
    assert shortened(phases("tune")[0], 1.0) == phases("tune")[0]
    patient = PhaseConfig(name="tune", unfreeze="all", epochs=20, learning_rate=1e-4, early_stopping={"patience": 8})
    waits = [shortened(patient, share).early_stopping.patience for share in (1.0, 0.25, 0.01)]
    assert waits == [8, 2, 1]


@pytest.mark.parametrize(
    ("moved", "grown", "start"), [(True, False, "random"), (False, False, "fitted"), (True, True, "fitted")]
)
def test_a_head_is_fitted_on_features_that_have_seen_no_label_or_where_classes_are_new(moved, grown, start):
    training = TrainingConfig(head={"start": "fitted"}, phases=phases("tune"))
    assert course(training, moved=moved, grown=grown).head.start == start


def test_auto_goes_on_with_the_champions_recipe_and_searches_where_it_has_none():
    training = TrainingConfig(strategy="auto")
    warm = course(training, recipe="all_layers_briefly")
    assert (warm.strategy, warm.head.start, warm.refit) == ("all_layers_briefly", "random", True)
    assert [(phase.name, phase.epochs, phase.interpolation) for phase in warm.phases] == [
        ("all_layers_briefly", 2, "validation")
    ]
    assert warm.phases[0].learning_rate == 3e-4
    probe = course(training, recipe="probe", moved=False)
    assert (probe.phases, probe.head.start) == ([], "fitted")
    assert course(training, recipe="") == training


def test_what_is_left_is_read_back(tmp_path):
    state = TrainingState(
        FACTS, {3: np.arange(6, dtype=np.float32).reshape(3, 2)}, {"probabilities": [np.eye(2), np.ones(2)]}
    )
    state.write(tmp_path)
    found = TrainingState.find(tmp_path)
    assert found is not None
    assert found.facts == FACTS
    np.testing.assert_array_equal(found.backbone[3], state.backbone[3])
    np.testing.assert_array_equal(found.head["probabilities"][0], np.eye(2))
    np.testing.assert_array_equal(found.head["probabilities"][1], np.ones(2))
    assert TrainingState.find(tmp_path / "none") is None
    content = (tmp_path / FILE).read_bytes()
    for damaged in (content[:40], b"", b"\0" * 100):
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(RunError, match=r"cannot be read.*start_from=backbone"):
            TrainingState.find(tmp_path)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"backbone": FACTS.backbone.model_copy(update={"sha256": "2" * 64})},
            "backbone: the champion has the weights",
        ),
        ({"backbone": BackboneOrigin(name="SmallCNN")}, "the config a random SmallCNN"),
        ({"preprocessing": {"image_size": 64, "scaling": "none"}}, "image_size: the champion has 32, the config 64"),
        ({"units": [256]}, r"training.head.units: the champion has \[\], the config \[256\]"),
        ({"pooled_blocks": 4}, "backbone.pooled_blocks: the champion has 1, the config 4"),
        ({"shapes": [[3, 3]]}, "other variables"),
    ],
)
def test_what_does_not_fit_is_named_with_both_sides(changes, named):
    state = TrainingState(FACTS, {}, {})
    state.check(FACTS)
    state.check(FACTS.model_copy(update={"backbone": FACTS.backbone.model_copy(update={"source": "elsewhere.h5"})}))
    with pytest.raises(BackboneError, match=named):
        state.check(FACTS.model_copy(update=changes))

"""Training that listens to a teacher: what it learns, from frozen features too, after a kill, and in the last fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finetune.config import AugmentationConfig, DistillationConfig, HeadConfig, PhaseConfig
from finetune.errors import RunError

pytest.importorskip("tensorflow")

from small_training import fit, make_splits, setup_of, training

from trainer_module import recipe
from trainer_module.distillation.answers import Answers
from trainer_module.distillation.taught import Taught
from trainer_module.examples.input_data import both, labels, with_teacher
from trainer_module.phases.checkpoint import Checkpoints

pytestmark = pytest.mark.by_test

PLAIN = AugmentationConfig()
TAUGHT = training(
    head=HeadConfig(units=[]),
    distillation=DistillationConfig(teacher="t", weight=1.0, temperature=2.0),
    phases=[PhaseConfig(name="all", unfreeze="all", epochs=6, learning_rate=1e-2, keep="last", early_stopping=None)],
)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return make_splits(tmp_path_factory.mktemp("examples"))


def taught(split, wrong: bool = False):
    """The split with a teacher that is sure of the label, or of the other one."""
    said = np.eye(2, dtype=np.float32)[labels(split).numpy() ^ wrong]
    return with_teacher(split, Taught(0.05 + 0.9 * said, np.ones(split.examples, np.float32)))


def test_the_teacher_is_believed_where_the_labels_have_no_weight(splits):
    for wrong in (False, True):
        _, _, _, curves = fit([taught(splits[0], wrong), splits[1]], TAUGHT, PLAIN)
        assert (curves[-1]["val_accuracy"] > 0.8) != wrong, "validation judges by labels"
        assert (curves[-1]["accuracy"] > 0.8) != wrong


def test_a_teacher_beside_pairs_of_pictures_is_mixed_as_they_are(splits):
    _, _, _, curves = fit([taught(splits[0]), splits[1]], TAUGHT, AugmentationConfig(mixup=0.2))
    assert curves[-1]["val_accuracy"] > 0.8


def test_several_labels_are_taught_each_for_itself(tmp_path):
    own = make_splits(tmp_path, task="multi_label")
    said = labels(own[0]).numpy()[:, ::-1]
    wrong = with_teacher(own[0], Taught(0.05 + 0.9 * said, np.ones(own[0].examples, np.float32)))
    setup = setup_of([wrong, own[1]], TAUGHT, PLAIN, task="multi_label")
    trained = recipe.train(setup, {"checkpoint_dir": str(tmp_path / "checkpoints")}, "key")
    assert trained.curves[-1]["loss"] < trained.curves[0]["loss"]
    assert trained.curves[-1]["val_accuracy"] < 0.3, "the teacher has every label wrong"


def test_frozen_features_are_taught_as_pictures_are(splits, tmp_path):
    phases = [PhaseConfig(name="head", epochs=2, learning_rate=1e-2)]
    runs = [
        fit(
            [taught(splits[0], wrong=True), splits[1]],
            TAUGHT.model_copy(update={"phases": phases, "memory_mb": memory, **frozen}),
            PLAIN,
            folder=tmp_path,
        )
        for memory, frozen in ((1, {}), (1, CACHE), (0, CACHE))
    ]
    assert [rows[0]["frozen_features"]["train"] for _, _, rows, _ in runs] == ["off", "memory", "disk"]
    for name in ("loss", "accuracy", "val_loss"):
        figures = [[epoch[name] for epoch in curves] for *_, curves in runs]
        np.testing.assert_allclose(figures[1:], [figures[0]] * 2, rtol=1e-4)


CACHE = {"frozen_features": training(frozen_features="on").frozen_features}


class KilledError(Exception):
    """Stands in for a kill."""


def test_a_kill_and_the_last_fit_keep_the_teacher(splits, tmp_path, monkeypatch):
    phases = [TAUGHT.phases[0].model_copy(update={"epochs": 2})]
    config = TAUGHT.model_copy(update={"refit": True, "head": HeadConfig(start="fitted"), "phases": phases})
    own = [taught(each) for each in splits]

    def trained(folder):
        setup = setup_of(own, config, PLAIN, folder=folder / "kept")
        return setup, recipe.train(setup, {"checkpoint_dir": str(folder / "checkpoints")}, "key")

    undisturbed, expected = trained(tmp_path / "a")
    assert expected.refit.examples == 30
    save, lives = Checkpoints.save, [0]

    def mortal(self, state):
        save(self, state)
        lives[0] -= 1
        if lives[0] == 0:
            raise KilledError

    monkeypatch.setattr(Checkpoints, "save", mortal)
    for life in (2, 2, 1000):
        lives[0] = life
        try:
            setup, _ = trained(tmp_path / "b")
        except KilledError:
            continue
    assert life == 1000
    for one, other in zip(undisturbed.model.get_weights(), setup.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_examples_without_labels_are_learned_from_and_heads_are_fitted_without_them(splits, tmp_path):
    """The teacher is wrong about examples without labels, of which there are more, and right about the others."""
    labelled, others = splits[1], splits[0]
    wrong = replace(taught(others, wrong=True), taught=Taught(*without_labels(taught(others, wrong=True).taught)))
    config = TAUGHT.model_copy(update={"refit": True, "head": HeadConfig(start="fitted")})
    alone = setup_of([taught(labelled), taught(splits[1])], config, PLAIN, folder=tmp_path)
    without = recipe.train(alone, {"checkpoint_dir": str(tmp_path / "without")}, "key")
    setup = replace(alone, unlabelled=wrong).with_training(config)
    assert setup.trained_on.examples == 30
    assert setup.trained_on.steps(8) == 4
    trained = recipe.train(setup, {"checkpoint_dir": str(tmp_path / "checkpoints")}, "key")
    right, misled = (each.curves[-1]["val_accuracy"] for each in (without, trained))
    assert misled < right, "what is learned is what most were taught"
    assert trained.refit.examples == 18, "of train and val"
    assert trained.refit.steps == 4 * trained.rows[0]["best_epoch"]


def without_labels(taught: Taught):
    return taught.probabilities, np.zeros_like(taught.known)


def test_what_a_teacher_said_is_part_of_what_training_depends_on(splits):
    plain, right, wrong = splits[0], taught(splits[0]), taught(splits[0], wrong=True)
    assert len({each.digest for each in (plain, right, wrong)}) == 3
    assert right.digest == taught(splits[0]).digest
    together = both(right, taught(splits[1]))
    assert together.taught.probabilities.shape == (30, 2)
    assert (together.contents[:21] == plain.contents).all(), "frozen features are shared with runs without a teacher"


def test_answers_survive_their_file_and_are_found_by_key(tmp_path):
    answers = Answers(["b", "a"], np.array([[0.25, 0.75], [1.0, 0.0]], np.float32))
    answers.write(tmp_path)
    found = Answers.read(tmp_path)
    np.testing.assert_array_equal(found.of(["a", "b", "a"]), answers.probabilities[[1, 0, 1]])
    with pytest.raises(RunError, match="asked about 2 examples, and about 1 of those to learn from it was not, such"):
        found.of(["a", "c"])
    (tmp_path / "answers.npz").write_bytes(b"PK torn")
    with pytest.raises(RunError, match=r"answers\.npz: what the teacher said cannot be read"):
        Answers.read(tmp_path)

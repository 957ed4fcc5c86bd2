"""A network that begins with the champion's weights: the same logits, and a head for the classes of today."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from finetune.config import AugmentationConfig, BackboneConfig, HeadConfig, PhaseConfig

pytest.importorskip("tensorflow")

from hugging_face_folder import save_encoder
from small_training import SMALL, make_splits, setup_of, training

from finetune.errors import BackboneError
from trainer_module import recipe
from trainer_module.backbones import model as backbone_model
from trainer_module.backbones.sources import record_of
from trainer_module.fitted_head import LastLayer
from trainer_module.peft.adapters import weights_of
from trainer_module.phases.state import Snapshot
from trainer_module.warm_start.start import Beginning
from trainer_module.warm_start.state import FILE, TrainingState, preprocessing_of
from transforms.backbone import Backbone

pytestmark = pytest.mark.by_test

PLAIN = AugmentationConfig()
TUNED = training(start_from="champion", batch_norm="train")
FITTED = training(
    start_from="champion",
    head=HeadConfig(start="fitted"),
    refit=True,
    phases=[PhaseConfig(name="tune", unfreeze={"last_blocks": 1}, epochs=4, learning_rate=1e-2)],
)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return make_splits(tmp_path_factory.mktemp("examples"))


def champion(splits, folder, config=TUNED, temperature=1.0):
    """Trains from the backbone, and leaves what it left in the folder."""
    setup = setup_of(splits, config, PLAIN, folder=folder / "kept")
    beginning = Beginning(setup, SMALL)
    setup, start = beginning.start(None)
    assert (start.weights, setup.training) == ("backbone", config)
    trained = recipe.train(setup, {"checkpoint_dir": str(folder / "checkpoints")}, "key")
    unseen = trained.unseen or Snapshot.of(setup.model)
    beginning.state(setup, unseen.weights, temperature, "").write(folder)
    return setup, trained


def begun(splits, folder, names, config=TUNED):
    """A new network for these classes that begins with the champion."""
    setup = setup_of(splits, config, PLAIN, folder=folder / "kept")
    with setup.strategy.scope():
        backbone, model = backbone_model.build_network(SMALL, config, len(names), setup.task.head())
    setup = dataclasses.replace(setup, model=model, backbone=backbone, classes=names)
    setup = dataclasses.replace(setup, frozen_features=recipe.FrozenFeatures(
        folder / "kept", model, backbone, config, PLAIN, *splits, "Trainer"
    ))  # fmt: skip
    return Beginning(setup, SMALL).start(str(folder))


@pytest.mark.parametrize(
    ("names", "added", "vanished"),
    [
        (["dark", "bright"], [], []),
        (["between", "bright", "dark", "odd"], ["between", "odd"], []),
        (["bright", "odd"], ["odd"], ["dark"]),
    ],
)
def test_the_logits_of_old_classes_are_the_champions(splits, tmp_path, names, added, vanished):
    before, _ = champion(splits, tmp_path)
    old = LastLayer(before).logits(before.val)
    after, start = begun(splits, tmp_path, names)
    assert (start.weights, start.added, start.vanished) == ("champion", added, vanished)
    assert all(name in start.sentence for name in (*added, *vanished))
    logits = LastLayer(after).logits(after.val)
    assert logits.shape[1] == len(names)
    for name in set(names) & set(before.classes):
        column = before.classes.index(name)
        np.testing.assert_allclose(logits[:, names.index(name)], old[:, column], atol=1e-5)
    assert [phase.name for phase in after.training.phases] == (["head", "tune"] if added else ["tune"])


def test_the_temperature_of_the_export_is_in_the_weights_that_are_left(splits, tmp_path):
    before, _ = champion(splits, tmp_path, temperature=2.0)
    after, _ = begun(splits, tmp_path, ["dark", "bright"])
    halved = LastLayer(before).logits(before.val) / 2
    np.testing.assert_allclose(LastLayer(after).logits(after.val), halved, atol=1e-5)


def test_it_goes_on_from_weights_that_have_not_seen_validation(splits, tmp_path):
    before, trained = champion(splits, tmp_path, FITTED)
    assert trained.refit is not None
    after, _ = begun(splits, tmp_path, ["dark", "bright"], FITTED)
    unseen = LastLayer(after).logits(after.val)
    np.testing.assert_allclose(unseen, trained.held_out.logits, atol=1e-4)
    assert np.abs(unseen - LastLayer(before).logits(before.val)).max() > 1e-3, "the last fit moved them"
    assert after.training.head.start == "random", "features that training has moved have seen the labels"
    warm = recipe.train(after, {"checkpoint_dir": str(tmp_path / "warm")}, "key")
    assert warm.rows[0]["epochs"] == 1
    assert warm.refit is not None


def test_only_what_training_moved_is_left(splits, tmp_path):
    head = training(start_from="champion", phases=[PhaseConfig(name="head", epochs=1, learning_rate=1e-2)])
    setup = setup_of(splits, head, PLAIN)
    setup.backbone.weights_sha256 = "1" * 64
    beginning = Beginning(setup, SMALL)
    weights = Snapshot.of(setup.model).weights
    state = beginning.state(setup, weights, 1.0, "probe")
    assert (dict(state.backbone), state.facts.moved, state.facts.recipe) == ({}, False, "probe")
    assert set(state.head) == {"head_dense_1", "probabilities"}
    moved = setup.backbone.variables[3]
    place = next(place for place, each in enumerate(setup.model.variables) if each is moved)
    weights[place] = weights[place] + 1
    assert set(beginning.state(setup, weights, 1.0, "").backbone) == {3}


def test_files_of_preprocessing_are_known_by_their_bytes_wherever_they_lie(tmp_path):
    record = Backbone(name="words", modality="text", preprocessing={"vocabulary": "", "unknown_words": "skip"})
    found = []
    for folder, text in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "words.txt").write_text(text)
        preprocessing = {**record.preprocessing, "vocabulary": str(tmp_path / folder / "words.txt")}
        found.append(preprocessing_of(dataclasses.replace(record, preprocessing=preprocessing)))
    assert found[0] == found[1] != found[2]
    assert set(found[0]) == {"modality", "vocabulary_sha256", "unknown_words", "scaling"}


def test_a_tokenizer_is_known_by_its_own_files_wherever_they_lie(tmp_path):
    found = []
    for name in ("a", "b", "c"):
        config = BackboneConfig(name="BERT", weights=save_encoder(tmp_path / name))
        (tmp_path / name / "model.safetensors").write_text(name)
        if name == "c":
            (tmp_path / name / "vocab.txt").write_text("other")
        found.append(preprocessing_of(record_of(config)))
    assert found[0] == found[1] != found[2]


def test_a_champion_that_does_not_fit_is_refused_and_one_without_weights_passed_over(splits, tmp_path):
    champion(splits, tmp_path)
    _, start = begun(splits, tmp_path, ["cat", "dog"])
    assert (start.weights, start.vanished) == ("champion", ["dark", "bright"])
    with pytest.raises(BackboneError, match=r"training.head.units: the champion has \[16\], the config \[4\]"):
        begun(splits, tmp_path, ["dark", "bright"], TUNED.model_copy(update={"head": HeadConfig(units=[4])}))
    assert TrainingState.find(tmp_path).facts.classes == ["dark", "bright"]
    (tmp_path / FILE).unlink()
    _, start = begun(splits, tmp_path, ["dark", "bright"])
    assert start.weights == "backbone"
    assert "left no weights" in start.sentence


def test_updates_of_low_rank_go_on_and_the_base_stays(splits, tmp_path):
    tune = PhaseConfig(name="tune", unfreeze="all", epochs=2, learning_rate=1e-2)
    lora = training(start_from="champion", phases=[tune], peft={"rank": 2, "targets": ["conv"]})
    before, _ = champion(splits, tmp_path, lora)
    with_seed = lora.model_copy(update={"seed": 7})
    after, start = begun(splits, tmp_path, ["dark", "bright"], with_seed)
    assert start.weights == "champion"
    logits = LastLayer(before).logits(before.val)
    np.testing.assert_allclose(LastLayer(after).logits(after.val), logits, atol=1e-5)
    base = {name: value for name, value in weights_of(after.backbone).items() if "_lora_" not in name}
    recipe.train(after, {"checkpoint_dir": str(tmp_path / "warm")}, "key")
    now = weights_of(after.backbone)
    assert all(now[name].tobytes() == value.tobytes() for name, value in base.items())
    assert any(now[name].any() for name in now if name.endswith("_lora_b"))

    other = training(start_from="champion", phases=[tune], peft={"rank": 1, "targets": ["conv"]})
    with pytest.raises(BackboneError, match=r"training\.peft: the champion has lora, rank 2, .* the config lora, rank"):
        begun(splits, tmp_path, ["dark", "bright"], other)
    with pytest.raises(BackboneError, match=r"training\.peft: the champion has lora, .* the config none"):
        begun(splits, tmp_path, ["dark", "bright"], training(start_from="champion", phases=[tune]))


def test_auto_goes_on_with_the_recipe_that_its_name_stands_for_with_this_kind_of_backbone(splits, tmp_path):
    auto = training(start_from="champion", strategy="auto", head=HeadConfig(start="fitted"), phases=[])
    before = setup_of(splits, auto, PLAIN)
    Beginning(before, SMALL).state(before, Snapshot.of(before.model).weights, 1.0, "all_layers").write(tmp_path)
    words = dataclasses.replace(setup_of(splits, auto, PLAIN), kind="word table")
    after, _ = Beginning(words, SMALL).start(str(tmp_path))
    assert after.training.strategy == "all_layers"
    assert [phase.learning_rate for phase in after.training.phases] == [3e-3], "the rate of tables of words"

"""A frozen encoder of texts runs once over each text: one that is a whole, and one of blocks up to those that train."""

from __future__ import annotations

import pytest

tf = pytest.importorskip("tensorflow")
import tensorflow_hub as hub  # noqa: E402
import tensorflow_transform as tft  # noqa: E402
from hugging_face_folder import save_encoder  # noqa: E402
from text_saved_models import save_bert  # noqa: E402
from text_training import texts, transform  # noqa: E402

from finetune.config import (  # noqa: E402
    AugmentationConfig,
    BackboneConfig,
    DistributionConfig,
    HeadConfig,
    PhaseConfig,
    TrainingConfig,
)
from trainer_module import recipe  # noqa: E402
from trainer_module.phases.checkpoint import Checkpoints  # noqa: E402
from trainer_module.phases.run import run_phases  # noqa: E402

pytestmark = pytest.mark.by_test_current

EPOCHS = 20


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The encoder's config, and transformed examples: 40 in train, 20 in val."""
    folder = tmp_path_factory.mktemp("bert")
    encoder, preprocessor = save_bert(folder)
    config = BackboneConfig(handle=str(encoder), modality="text", text={"preprocessor": str(preprocessor)})
    return folder, config, transform(folder, config, {"train": texts(40, 1), "val": texts(20, 2)})


@pytest.fixture
def encoded(monkeypatch):
    """How many texts went through the encoder, counted in the graph itself."""
    count = tf.Variable(0, dtype=tf.int64, trainable=False)
    call = hub.KerasLayer.call

    def counted(self, inputs, training=None):
        with tf.control_dependencies([count.assign_add(tf.shape(inputs["input_mask"], tf.int64)[0])]):
            return tf.nest.map_structure(tf.identity, call(self, inputs, training=training))

    monkeypatch.setattr(hub.KerasLayer, "call", counted)
    return count


def train(data, mode: str, kept, checkpoints, *later: PhaseConfig):
    folder, backbone, files = data
    head = PhaseConfig(name="head", epochs=EPOCHS, learning_rate=1e-2, early_stopping=None)
    sections = {
        "training": TrainingConfig(
            batch_size=8, head=HeadConfig(units=[8], dropout=0.3), phases=[head, *later], frozen_features=mode
        ),
        "backbone": backbone,
        "augmentation": AugmentationConfig(),
        "distribution": DistributionConfig(),
    }
    settings = {name: section.model_dump(mode="json") for name, section in sections.items()}
    settings |= {"task": "single_label", "component": "Trainer", "frozen_features_dir": str(kept), "code": ""}
    setup = recipe.make_setup(
        settings, tft.TFTransformOutput(str(folder / "transform")), [files["train"]], [files["val"]]
    )
    state = run_phases(setup, Checkpoints(str(checkpoints), mode, setup.training.checkpoint, "Trainer"))
    return state, setup


@pytest.mark.parametrize("mode", ["on", "auto"])
def test_epochs_of_the_head_call_the_encoder_once_for_each_text(data, encoded, tmp_path, mode):
    encoded.assign(0)
    state, setup = train(data, mode, tmp_path / "kept", tmp_path / "checkpoints")
    # The last batch of each split is filled up.
    assert encoded.numpy() == sum(32 * split.steps(32) for split in (setup.train, setup.val))
    (row,) = state.rows
    assert row["cached_trunk"]
    assert row["epochs"] == EPOCHS


def test_the_curves_are_those_of_training_with_the_encoder_and_tuning_it_goes_on_from_there(data, encoded, tmp_path):
    tune = PhaseConfig(name="tune", unfreeze="all", epochs=2, learning_rate=1e-3)
    states = [train(data, mode, tmp_path / "kept", tmp_path / mode, tune)[0] for mode in ("off", "on")]
    assert [row["cached_trunk"] for row in states[1].rows] == [True, False]
    for one, other in zip(*(state.curves for state in states), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert one["val_loss"] == pytest.approx(other["val_loss"], rel=1e-4)


@pytest.mark.long
def test_blocks_that_do_not_train_run_once_and_the_curves_are_those_of_training_with_them(tmp_path):
    """Texts are of several lengths, so that batches are: what is kept of each is of one size all the same."""
    backbone = BackboneConfig(name="BERT", weights=save_encoder(tmp_path / "encoder"), text={"max_pieces": 24})
    splits = {
        split: [(text * (1 + number % 3), label) for number, (text, label) in enumerate(texts(20, seed))]
        for split, seed in (("train", 1), ("val", 2))
    }
    data = tmp_path, backbone, transform(tmp_path, backbone, splits)
    tune = PhaseConfig(name="tune", unfreeze={"last_blocks": 1}, epochs=2, learning_rate=1e-3, block_rate_factor=0.5)
    states = [train(data, mode, tmp_path / "kept", tmp_path / mode, tune)[0] for mode in ("off", "on")]
    assert [row["cached_trunk"] for row in states[0].rows] == [False, False]
    assert [row["cached_trunk"] for row in states[1].rows] == [True, True]
    assert [row["frozen_features"]["cut"] for row in states[1].rows] == ["pool", "block1_where_pieces"]
    for one, other in zip(*(state.curves for state in states), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert one["val_loss"] == pytest.approx(other["val_loss"], rel=1e-4)

"""Encoders of texts, from SavedModels and from Hugging Face: Transform, training, export and serving."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from hugging_face_folder import save_encoder
from safetensors.numpy import load_file
from text_saved_models import LENGTH, WordPieces, save_bert, save_string_encoder
from text_training import texts, transform

from finetune.config import (
    AugmentationConfig,
    BackboneConfig,
    DistributionConfig,
    HeadConfig,
    PhaseConfig,
    TrainingConfig,
)
from finetune.errors import BackboneError
from trainer_module import recipe
from trainer_module.backbones.hugging_face import WEIGHTS, read_architecture, tensor_names
from trainer_module.backbones.sources.hub_texts import HubTexts

pytestmark = pytest.mark.by_test_current

ODD = [
    b"",
    b" \n\t ",
    b"qwertz zxcvb",
    b"the boat \xff\xfe caf\xe9",
    "🙂 the ⛵ sail".encode(),
    b"\n\nboat",
    b"the wave " * 9999,
]


def adapt(folder: Path, config: BackboneConfig) -> tuple[dict, Path]:
    """Trains on 40 texts, validates on 20 and the odd ones; returns the history, and the folder of what was written."""
    files = transform(
        folder, config, {"train": texts(40, 1), "val": [*texts(20, 2), *((text, b"sea") for text in ODD)]}
    )
    phases = [
        PhaseConfig(name="head", epochs=2, learning_rate=1e-2),
        PhaseConfig(name="tune", unfreeze="all", epochs=8, learning_rate=1e-2),
    ]
    training = TrainingConfig(batch_size=8, head=HeadConfig(units=[], dropout=0), phases=phases)
    sections = {
        "training": training, "backbone": config, "augmentation": AugmentationConfig(),
        "distribution": DistributionConfig(),
    }  # fmt: skip
    arguments = SimpleNamespace(
        custom_config={
            **{name: section.model_dump(mode="json") for name, section in sections.items()},
            "component": "Trainer",
            "task": "single_label",
            "evaluation": {},
            "checkpoint_dir": str(folder / "checkpoints"),
            "frozen_features_dir": str(folder / "frozen_features"),
            "tracking": {},
            "tracking_dir": str(folder / "tracking"),
            "mlflow_dir": str(folder / "mlflow"),
            "code": "",
        },
        transform_graph_path=str(folder / "transform"),
        train_files=[files["train"]],
        eval_files=[files["val"]],
        serving_model_dir=str(folder / "served"),
        model_run_dir=str(folder / "run"),
        hyperparameters=None,
    )
    recipe.run_fn(arguments)
    return json.loads((folder / "run" / "history.json").read_text()), folder


@pytest.fixture(scope="module", params=["strings", "bert", pytest.param("hugging face", marks=pytest.mark.long)])
def adapted(request, tmp_path_factory) -> tuple[dict, Path, int]:
    """The history, the folder, and how many numbers the encoder's weights hold."""
    folder = tmp_path_factory.mktemp("encoder")
    if request.param == "hugging face":
        config = BackboneConfig(name="BERT", weights=save_encoder(folder / "encoder"), text={"max_pieces": LENGTH})
        names = tensor_names(config.source, read_architecture(config.source)).values()
        tensors = load_file(folder / "encoder" / WEIGHTS)
        return *adapt(folder, config), sum(tensors[name].size for name in names)
    if request.param == "strings":
        config = BackboneConfig(handle=str(save_string_encoder(folder / "encoder")), modality="text")
    else:
        encoder, preprocessor = save_bert(folder)
        config = BackboneConfig(handle=str(encoder), modality="text", text={"preprocessor": str(preprocessor)})
    history = adapt(folder, config)
    variables = tf.train.list_variables(str(folder / "encoder" / "variables" / "variables"))
    return *history, sum(int(np.prod(shape)) for name, shape in variables if not name.startswith("_CHECKPOINTABLE"))


def test_an_encoder_is_frozen_and_then_tuned(adapted):
    history, _, size = adapted
    head, tune = history["phases"]
    assert tune["trainable_parameters"] - head["trainable_parameters"] == size
    losses = [row["loss"] for row in history["curves"] if row["phase"] == "tune"]
    assert losses[-1] < 0.8 * history["curves"][0]["loss"]


def test_odd_texts_are_served_as_the_training_path_sees_them(adapted):
    _, folder, _ = adapted
    with np.load(folder / "run" / "val_predictions.npz") as saved:
        trained = dict(zip(saved["keys"].tolist(), saved["probabilities"], strict=True))
    given = [*(text for text, _ in texts(20, 2)), *ODD]
    serve = tf.saved_model.load(str(folder / "served")).signatures["serving_default"]
    served = serve(tf.constant(given))["probabilities"].numpy()
    expected = [trained[hashlib.sha256(text).hexdigest()] for text in given]
    np.testing.assert_allclose(served, expected, rtol=0, atol=1e-5)
    assert np.ptp(served[:, 0]) > 0.01, "all texts alike would agree too"


def test_word_pieces_are_the_longest_there_are():
    made = WordPieces()(tf.constant(["Boats sailing xyz!", "", "the " * 99]))
    pieces = [[WordPieces().pieces[number] for number in row if number] for row in made["input_word_ids"].numpy()]
    assert pieces[0] == ["[CLS]", "boat", "##s", "sail", "##ing", "[UNK]", "[SEP]"]
    assert pieces[1] == ["[CLS]", "[SEP]"]
    assert len(pieces[2]) == LENGTH


def test_what_does_not_fit_names_both_sides(tmp_path):
    encoder, preprocessor = save_bert(tmp_path)
    strings = save_string_encoder(tmp_path / "strings")

    def problem(handle: Path, **settings) -> str:
        with pytest.raises(BackboneError) as caught:
            HubTexts().build(BackboneConfig(handle=str(handle), modality="text", **settings))
        return str(caught.value)

    assert "backbone.handle: the encoder takes input_mask int32" in problem(encoder)
    made_by = {"text": {"preprocessor": str(preprocessor)}}
    assert "backbone.text.preprocessor: it makes input_mask int32" in problem(strings, **made_by)
    assert "got 'pooled'; the encoder gives default float32" in problem(encoder, output="pooled", **made_by)
    assert "the encoder gives sequence_output float32" in problem(encoder, output="sequence_output", **made_by)


def test_an_only_output_may_have_a_name(tmp_path):
    named = tf.train.Checkpoint()
    lengths = tf.function(lambda texts: {"length": tf.cast(tf.strings.length(texts)[:, tf.newaxis], tf.float32)})
    named.__call__ = lengths
    lengths.get_concrete_function(tf.TensorSpec([None], tf.string))
    tf.saved_model.save(named, str(tmp_path))
    encoder, _ = HubTexts().build(BackboneConfig(handle=str(tmp_path), modality="text"))
    assert encoder(tf.constant(["boat", ""])).numpy().tolist() == [[4.0], [0.0]]

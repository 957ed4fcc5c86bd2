"""The network: a backbone with its weights, the input operation that belongs to it, and a head on top."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from finetune.config import BackboneConfig, TrainingConfig
from finetune.errors import BackboneError
from trainer_module.alignment.network import align
from trainer_module.backbones.sources import record_of, source_of
from trainer_module.fusion import fuse, pooled_side
from trainer_module.heads import DenseHead, Head, with_all_regularizers
from trainer_module.modalities import MODALITIES
from trainer_module.peft.adapters import attach
from transforms.backbone import Backbone
from transforms.features import IMAGE, TEXT, THERE

SOFTMAX = DenseHead()


def build_network(
    config: BackboneConfig, training: TrainingConfig, classes: int, head: Head = SOFTMAX
) -> tuple[keras.Model, keras.Model]:
    """Builds the backbone as the head takes it, and the whole network around it; with LoRA, its kernels have updates.

    With `training.mixed_precision`, the backbone alone computes in half precision: its variables, the scaling of pixels
    and the head are float32. A SavedModel computes in what it was saved with.
    """
    policy = {"off": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}[training.mixed_precision]
    keras.mixed_precision.set_global_policy(policy)
    try:
        backbone = head.opened(build_backbone(config))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    if training.peft and training.peft.method == "lora":
        attach(backbone, training.peft, training.seed)
    return backbone, build_model(backbone, record_of(config), training, classes, head)


def in_float32(
    model: keras.Model, config: BackboneConfig, training: TrainingConfig, classes: int, head: Head = SOFTMAX
) -> keras.Model:
    """Returns the network with the same weights that computes in float32 throughout: what is exported.

    Updates of low rank are merged before.
    """
    if training.mixed_precision == "off":
        return model
    random, exact = source_of(config).with_random_weights(config), {"mixed_precision": "off", "peft": None}
    _, copy = build_network(random, training.model_copy(update=exact), classes, head)
    copy.set_weights(model.get_weights())
    return copy


def build_backbone(config: BackboneConfig) -> keras.Model:
    """Builds the backbone that the config asks for, with its weights, as `BackboneSource.build` does.

    The model's attribute `weights_sha256` is the digest of the weights; None for random ones.

    Raises:
        BackboneError: It does not exist, or what the config says of it cannot be used.
    """
    source = source_of(config)
    if problems := source.problems(config):
        raise BackboneError("\n".join(problems))
    backbone, digest = source.build(config)
    backbone.weights_sha256 = digest
    return backbone


def build_model(
    backbone: keras.Model, record: Backbone, training: TrainingConfig, classes: int, head: Head = SOFTMAX
) -> keras.Model:
    """Puts input scaling before the backbone and a head behind it.

    Unless `batch_norm` is `train`, the backbone is called in inference mode: its BatchNorm layers use their stored
    statistics and never update them, while frozen and after unfreezing alike, so that a small data set cannot spoil
    what pretraining measured. With `train` they follow the model, and Keras keeps those of frozen layers as they are.

    Returns:
        A model from [batch, size, size, 3] in [0, 255], or from what the backbone of texts takes, to what the head
        gives, such as probabilities float32 [batch, classes]; with `fusion: contrastive`, to what
        `trainer_module.alignment.vectors` reads.
    """
    mode = {} if training.batch_norm == "train" else {"training": False}
    if record.sides:
        return _model_of_sides(backbone, record, training, classes, head, mode)
    modality = MODALITIES[record.modality]
    inputs = tf.nest.map_structure(modality.network_input, backbone.input)
    features = backbone(tf.nest.map_structure(lambda value: modality.prepare(value, record), inputs), **mode)
    layers = with_all_regularizers(training)
    return keras.Model(inputs, head.add(features, modality.pool, layers, classes, training.seed))


def _model_of_sides(
    backbone: keras.Model,
    record: Backbone,
    training: TrainingConfig,
    classes: int,
    head: Head,
    mode: dict[str, bool],
) -> keras.Model:
    """Puts each side's own input before it, and behind both what joins them, or what brings them into one space."""
    inputs, prepared = {}, []
    for (side, own), tensor in zip(record.sides.items(), backbone.inputs, strict=True):
        modality = MODALITIES[side]
        inputs[side] = modality.network_input(tensor)
        prepared.append(modality.prepare(inputs[side], own))
    inputs[THERE] = keras.Input((len(record.sides),), dtype=tf.int64, name=THERE)
    picture, words = backbone(prepared, **mode)
    layers = with_all_regularizers(training)
    if training.fusion.is_contrastive:
        vectors = pooled_side(picture, IMAGE, record), pooled_side(words, TEXT, record)
        return keras.Model(inputs, align(*vectors, inputs[THERE], training.fusion, layers, training.seed))
    fused = fuse(picture, words, inputs[THERE], record, training.fusion, training.seed)
    return keras.Model(inputs, head.add(fused, MODALITIES[record.modality].pool, layers, classes, training.seed))

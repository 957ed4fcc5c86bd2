"""What is served, and nothing else: a plain SavedModel with raw input and named classes.

A `tf.Module` with two signatures loads about ten times faster than the same network saved as a Keras model, and TFMA
does not mistake it for one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras
from tensorflow_transform.saved.saved_transform_io_v2 import SavedModelLoader

from registry.versions import FACTS_FILE
from trainer_module.export.canonical import make_canonical
from trainer_module.tasks import TrainingTask
from transforms import features
from transforms.columns import as_parsed
from transforms.features import IMAGE, TEXT
from transforms.inputs import Inputs
from transforms.sides import SIDES, packed
from transforms.tasks import Labels


class ServedModel(tf.Module):
    """Serves the trained network behind the Transform graph that it was trained with."""

    def __init__(
        self,
        model: keras.Model,
        transform_output: tft.TFTransformOutput,
        inputs: Inputs,
        labels: Labels,
        task: TrainingTask,
        decision: dict[str, Any],
    ):
        """Takes the network, and what lies before and behind it.

        Args:
            inputs: How transformed examples become what the network takes.
            labels: How they become what the Evaluator compares with.
            decision: What the task needs to decode what the network gives.
        """
        super().__init__(name="served_model")
        self._has_sides = inputs.modality == features.IMAGE_TEXT
        # The variables alone are tracked, not the Keras model, so that no Keras metadata is saved.
        self._weights = list(model.variables)
        self._tables = _tables(model)
        # TFT's own TransformFeaturesLayer is a Keras model, which a save traces once more with AutoGraph, for a minute.
        loader = _OrderedLoader(transform_output.transform_savedmodel_dir)
        self._transform = _Untracked(loader.apply_transform_model)
        self._loaded = loader.__dict__
        self._inputs = _Untracked(inputs.read_batch)
        self._raw_spec = transform_output.raw_feature_spec()
        self._raw_name = inputs.raw
        self._network = self._on_raw(lambda value: model(value, training=False))
        self._is_example = _Untracked(inputs.is_example)
        names = transform_output.vocabulary_by_name(features.CLASSES)
        self._classes = tf.constant([name.decode() for name in names])
        self._labels = _Untracked(labels.compared)
        self._label_key = labels.task.key
        self._probabilities = _Untracked(task.probabilities)
        self._decode = _Untracked(lambda output: task.decode(output, self._classes, decision))

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies pictures or texts.

        Args:
            examples: string [batch]; each the bytes of an image file, or a text, or a serialised raw tf.Example.

        Returns:
            `probabilities` float32 [batch, classes], `classes` string [batch, classes], the name of each column of
            `probabilities`, and what the task says of them: of single_label `label` string [batch], the most probable
            class or that of a threshold; of multi_label `predicted` int64 [batch, classes], 1 for each label that is
            there; of detection boxes (`trainer_module.tasks.detection`); of segmentation a mask
            (`trainer_module.tasks.segmentation`).
        """
        output = self._network(self._raw_of(examples))
        return {
            "probabilities": self._probabilities(output),
            "classes": tf.tile(self._classes[tf.newaxis], [tf.shape(examples)[0], 1]),
            **self._decode(output),
        }

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec([None], tf.string, name=side) for side in SIDES],
    )
    def serve_sides(self, image: tf.Tensor, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies pictures with words as `serve` does: string [batch] each, "" for a side that is not there."""
        outputs: dict[str, tf.Tensor] = self.serve(packed({IMAGE: image, TEXT: text}))
        return outputs

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def transform_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Looks up the labels of raw examples for the Evaluator: string [batch] to labels as training has them."""
        raw = tf.io.parse_example(examples, {features.LABEL: self._raw_spec[features.LABEL]})
        return {self._label_key: self._labels(self._transform(raw))}

    def signatures_of(self) -> dict[str, Any]:
        """Returns what is served, by name: `image_text` where a picture comes with words."""
        of_sides = {"image_text": self.serve_sides} if self._has_sides else {}
        return {"serving_default": self.serve, "transform_features": self.transform_features, **of_sides}

    def _on_raw(self, network: Callable[[Any], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
        """Makes a function of raw features, string [batch], of one of the network's input."""

        def of_raw(raw: tf.Tensor) -> tf.Tensor:
            return network(
                self._inputs(self._transform({self._raw_name: as_parsed(raw, self._raw_spec[self._raw_name])}))
            )

        return _Untracked(of_raw)

    def _raw_of(self, examples: tf.Tensor) -> tf.Tensor:
        """Returns the raw feature of what is served, string [batch]: of a tf.Example, the one in it."""
        is_example = self._is_example(examples)
        spec = {self._raw_name: tf.io.FixedLenFeature([], tf.string, default_value="")}
        parsed = tf.io.parse_example(tf.where(is_example, examples, ""), spec)
        return tf.where(is_example, parsed[self._raw_name], examples)


def _tables(model: keras.Model) -> list[Any]:
    """Lookup tables and the like inside a network, as encoders of texts have them: like variables, they are tracked."""
    found = tf.train.TrackableView(model).descendants()
    return [each for each in found if isinstance(each, tf.saved_model.experimental.TrackableResource)]


class _Untracked:
    """Hides a callable from object tracking."""

    def __init__(self, call: Callable[..., Any]):
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)


class _OrderedLoader(SavedModelLoader):
    """Lists the inputs of the Transform graph in the graph's order; TFT's order changes from process to process."""

    def _get_unfed_input_keys(self, input_tensor_keys: Iterable[str]) -> list[str]:
        return sorted(super()._get_unfed_input_keys(input_tensor_keys))

    def _get_feeds(self, unfed_input_keys: Iterable[str]) -> list[tf.Tensor]:
        fed = super()._get_feeds(unfed_input_keys)
        return [tensor for tensor in self._func_graph.inputs if tensor in fed]


def export_model(served: ServedModel, directory: str, facts: dict[str, Any]) -> None:
    """Writes the SavedModel with `serving_default` and `transform_features`; the same model gives the same bytes.

    What is said of its origin goes beside it as FACTS_FILE, in the folder that TensorFlow leaves to others.
    """
    tf.saved_model.save(served, directory, signatures=served.signatures_of())
    make_canonical(directory)
    path = os.path.join(directory, FACTS_FILE)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(json.dumps(facts, indent=1))

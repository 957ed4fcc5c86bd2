"""What Transform and Trainer of the iris pipeline do; `finetune compile` puts this file into the package."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
import tf_keras
from tfx_bsl.public import tfxio

FEATURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
LABEL = "kind"
BATCH = 20


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    """Scales each feature to mean 0 and variance 1; the label stays."""
    return {**{name: tft.scale_to_z_score(inputs[name]) for name in FEATURES}, LABEL: inputs[LABEL]}


def run_fn(fn_args: Any) -> None:
    """Trains a small network and saves it, with a signature that takes serialised raw examples."""
    tf_keras.utils.set_random_seed(0)
    transformed = tft.TFTransformOutput(fn_args.transform_output)
    options = tfxio.TensorFlowDatasetOptions(batch_size=BATCH, label_key=LABEL, shuffle=False)

    def dataset(files: list[str]) -> tf.data.Dataset:
        made: tf.data.Dataset = fn_args.data_accessor.tf_dataset_factory(
            files, options, transformed.transformed_metadata.schema
        )
        return made.repeat()

    inputs = [tf_keras.Input((1,), name=name) for name in FEATURES]
    hidden = tf_keras.layers.Dense(8, "relu")(tf_keras.layers.concatenate(inputs))
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(3, "softmax")(hidden))
    model.compile(tf_keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        dataset(fn_args.train_files),
        steps_per_epoch=fn_args.train_steps,
        validation_data=dataset(fn_args.eval_files),
        validation_steps=fn_args.eval_steps,
        verbose=2,
    )
    raw = transformed.raw_feature_spec()
    raw.pop(LABEL)
    model.transform = transformed.transform_features_layer()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": model(model.transform(tf.io.parse_example(examples, raw)))}

    model.save(fn_args.serving_model_dir, save_format="tf", signatures={"serving_default": serve})

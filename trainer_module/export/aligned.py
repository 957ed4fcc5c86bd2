"""What is served of pictures and texts in one space, beside what every model serves: vectors, and prompts on demand."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from trainer_module.alignment.prompts import probabilities
from trainer_module.alignment.vectors import Vectors
from trainer_module.export.export import ServedModel
from transforms.features import IMAGE, TEXT
from transforms.sides import packed


class AlignedModel(ServedModel):
    """Serves classes by the prompts of the config, classes by prompts that come with the request, and vectors."""

    def __init__(self, model: keras.Model, aligned: keras.Model, *rest: Any):
        """Takes the network from inputs to probabilities, that to `Vectors` below it, and the rest as ServedModel."""
        super().__init__(model, *rest)
        self._vectors = self._on_raw(lambda inputs: aligned(inputs, training=False))

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def embed(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Gives vectors to search with: of pictures and texts that belong together, the product is high.

        Args:
            examples: string [batch], as `serve` takes them.

        Returns:
            `image` and `text`, float32 [batch, width] of length 1; of a side that is not there, they mean nothing.
            `there`, bool [batch, 2], says whether there is a picture, and a text.
        """
        found = Vectors.of(self._vectors(self._raw_of(examples)))
        return {IMAGE: found.image, TEXT: found.text, "there": found.there}

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec([None], tf.string, name=name) for name in ("examples", "prompts")],
    )
    def zero_shot(self, examples: tf.Tensor, prompts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies by prompts, also of classes that training never saw.

        Args:
            examples: string [batch], as `serve` takes them.
            prompts: string [prompts], a text for each class.

        Returns:
            `probabilities` float32 [batch, prompts].
        """
        nothing = tf.fill(tf.shape(prompts), "")
        of_prompts = Vectors.of(self._vectors(packed({IMAGE: nothing, TEXT: prompts}))).text
        found = Vectors.of(self._vectors(self._raw_of(examples)))
        return {"probabilities": probabilities(found, of_prompts)}

    def signatures_of(self) -> dict[str, Any]:
        """Returns those of every model, `embed` and `zero_shot`."""
        return {**super().signatures_of(), "embed": self.embed, "zero_shot": self.zero_shot}

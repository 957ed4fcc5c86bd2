"""The demo's data and its backbone, made from scikit-learn's bundled handwritten digits (UCI, 1,797 pictures of 8x8).

The backbone learns the digits 0 to 4, each turned and mirrored in eight ways that count as classes of their own:
telling forty classes apart leaves it with features that serve more than five digits. The digits 5 to 9, which it has
never seen, become the team's "own data".
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import finetune
from finetune.config import AugmentationConfig, TrainingConfig
from finetune.errors import RunError
from finetune.files import replacing, write_json

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image

    Array = npt.NDArray[Any]

CONFIG = Path(finetune.__file__).parent / "recipes" / "digits.yaml"
IMAGE_SIZE = 32
TRAIN_PER_CLASS = 20
VAL_PER_CLASS = 20
PRETRAIN_STEPS = 900
PRETRAIN_RATE = 2e-3
PRETRAIN_AUGMENTATION = AugmentationConfig(rotation=0.03, zoom=0.15, shift=0.1)
SEED = 1
_MADE = "made.json"


def prepare(directory: Path) -> str:
    """Writes `images/{train,val,test}/<digit>/*.png` and `backbone.h5`, unless an earlier call did.

    Returns:
        A sentence about what was made.

    Raises:
        RunError: The folder holds something else under these names.
    """
    images, weights, made = directory / "images", directory / "backbone.h5", directory / _MADE
    if made.is_file():
        return str(json.loads(made.read_text())["made"])
    for path in (images, weights):
        if path.exists() and not (directory / ".preparing").exists():
            raise RunError(f"--directory: {path} exists and is not this demo's; choose another folder.")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / ".preparing").touch()
    shutil.rmtree(images, ignore_errors=True)
    counts = _write_images(images)
    accuracy = _pretrain(weights)
    sentence = (
        f"Backbone pretrained on digits 0 to 4, turned and mirrored ({accuracy:.0%} of 40 classes right on pictures "
        "kept back). "
        f"Digits 5 to 9: {counts['train']} to train on, {counts['val']} to validate, {counts['test']} to test."
    )
    write_json(made, {"made": sentence})
    (directory / ".preparing").unlink()
    return sentence


def _write_images(root: Path) -> dict[str, int]:
    """Writes the digits 5 to 9 as PNG files: the first of each class to train, the next to val, the rest to test."""
    pictures, targets = handwritten_digits()
    counts = {"train": 0, "val": 0, "test": 0}
    for digit in range(5, 10):
        for number, picture in enumerate(pictures[targets == digit]):
            split = (
                "train" if number < TRAIN_PER_CLASS else "val" if number < TRAIN_PER_CLASS + VAL_PER_CLASS else "test"
            )
            folder = root / split / str(digit)
            folder.mkdir(parents=True, exist_ok=True)
            to_image(picture).save(folder / f"{number:03}.png")
            counts[split] += 1
    return counts


def _pretrain(weights: Path) -> float:
    """Trains the backbone on the digits 0 to 4, saves its weights, returns its accuracy on a tenth kept back."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import numpy as np
    import tensorflow as tf
    import tf_keras as keras

    from trainer_module.backbones.sources.small_cnn import small_cnn
    from trainer_module.examples.augmentation import augment
    from trainer_module.phases.loop import eval_step, evaluate
    from trainer_module.tasks import TASKS
    from transforms.image import scale

    keras.utils.set_random_seed(SEED)
    pictures, targets = handwritten_digits()
    known = targets < 5
    x = np.stack([np.asarray(to_image(picture).convert("RGB")) for picture in pictures[known]])
    kept_back = len(x) // 10
    learned, tested = (
        _turned(x[kept_back:], targets[known][kept_back:]),
        _turned(x[:kept_back], targets[known][:kept_back]),
    )

    @tf.autograph.experimental.do_not_convert
    def varied(number: tf.Tensor, example: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        pixels, label = example
        return scale(augment(pixels, tf.stack([SEED, number]), PRETRAIN_AUGMENTATION), "minus_one_to_one"), label

    train = tf.data.Dataset.from_tensor_slices(learned).shuffle(len(learned[0]), seed=SEED).repeat().enumerate()
    train = train.map(varied, num_parallel_calls=tf.data.AUTOTUNE).batch(32).prefetch(tf.data.AUTOTUNE)
    test = tf.data.Dataset.from_tensor_slices((scale(tested[0], "minus_one_to_one"), tested[1])).batch(64)

    backbone = small_cnn(IMAGE_SIZE)
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    pooled = keras.layers.Dropout(0.2, seed=SEED)(pooled)
    model = keras.Model(backbone.input, keras.layers.Dense(5 * 8, activation="softmax")(pooled))
    optimizer, variables = keras.optimizers.Adam(PRETRAIN_RATE), model.trainable_variables
    optimizer.build(variables)

    @tf.function(autograph=False, input_signature=[train.element_spec])
    def step(batch: tuple[tf.Tensor, tf.Tensor]) -> None:
        pixels, labels = batch
        with tf.GradientTape() as tape:
            losses = keras.losses.sparse_categorical_crossentropy(labels, model(pixels, training=True))
            loss = tf.reduce_mean(losses)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    for batch in train.take(PRETRAIN_STEPS):
        step(batch)
    objective = TASKS["single_label"].objective(TrainingConfig(), [str(way) for way in range(5 * 8)], None)
    evaluation = eval_step(model, objective, tf.distribute.get_strategy(), test.element_spec)
    accuracy = evaluate(evaluation, test).means()["accuracy"]
    with replacing(weights) as unfinished:
        backbone.save_weights(unfinished, save_format="h5")
    return accuracy


def _turned(pictures: Array, digits: Array) -> tuple[Array, Array]:
    """The eight ways to turn and mirror square pictures [n, h, h, 3], and a class [8 n] for each digit and way."""
    import numpy as np

    ways = [np.rot90(pictures, turns, (1, 2))[:, :, ::step] for turns in range(4) for step in (1, -1)]
    classes = [digits.astype(np.int64) * 8 + way for way in range(8)]
    return np.concatenate(ways), np.concatenate(classes)


def handwritten_digits() -> tuple[Array, Array]:
    """Returns pictures float64 [1797, 8, 8] in [0, 16] and their digits int64 [1797]."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.images, data.target


def to_image(picture: Array) -> Image.Image:
    """Enlarges an 8x8 picture to a grey PNG of the backbone's size."""
    import numpy as np
    from PIL import Image

    grey = np.clip(picture * (255.0 / 16.0), 0, 255).round().astype("uint8")
    return Image.fromarray(grey).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)

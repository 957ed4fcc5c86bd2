"""Small SavedModels for the serving gate: one as it should be, and some with a fault of their own."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.serving_gate.gate import Trial
from components.serving_gate.process import AloneServer
from components.serving_gate.tasks import TASKS
from evaluation.metrics.serving import BATCH_SIZES

EXAMPLES = 40
SIZE = 8


class Models:
    """SavedModels in a folder, the requests that go with them, and what the network in memory said."""

    def __init__(self, folder: Path):
        import tensorflow as tf

        self._tf, self._folder = tf, folder
        random = np.random.default_rng(5)
        self._kernel = tf.Variable(random.normal(size=(SIZE * SIZE * 3, 3)).astype(np.float32))
        pictures = random.integers(0, 256, (EXAMPLES, SIZE, SIZE, 3), dtype=np.uint8)
        self.requests = folder / "requests"
        self.requests.write_bytes(b"".join(base64.b64encode(self._example(one)) + b"\n" for one in pictures))
        predicted = self._network(tf.cast(pictures, tf.float32) / 255).numpy()
        self.trained = {number: predicted[number].tolist() for number in range(EXAMPLES)}

    def trial(self, candidate: Path, champion: Path | None = None, budget: float = 2.0) -> Trial:
        """The gate's input, with every request also held against what the network in memory said."""
        budgets = dict.fromkeys(BATCH_SIZES, budget / len(BATCH_SIZES))
        return Trial(TASKS["single_label"], candidate, champion, EXAMPLES, self.trained, budgets)

    def export(self, name: str, bgr: bool = False, slow_by: int = 0) -> Path:
        """Exports the network, with a preprocessing of another order of channels, or with useless work to do."""
        tf, network = self._tf, self._network
        path = self._folder / name
        if path.is_dir():
            return path

        class Served(tf.Module):
            def __init__(self, kernel):
                super().__init__()
                self.kernel = kernel

            @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
            def serve(self, examples):
                encoded = tf.io.parse_example(examples, {"image": tf.io.FixedLenFeature([], tf.string)})["image"]
                pixels = tf.map_fn(
                    lambda one: tf.ensure_shape(tf.io.decode_png(one, 3), [SIZE, SIZE, 3]),
                    encoded,
                    fn_output_signature=tf.uint8,
                )
                pixels = tf.cast(pixels[..., ::-1] if bgr else pixels, tf.float32) / 255
                probabilities = network(pixels)
                if slow_by:
                    waste = tf.while_loop(
                        lambda step, _: step < slow_by,
                        lambda step, matrix: (step + 1, tf.tanh(matrix @ matrix)),
                        (0, tf.eye(64) + tf.reduce_sum(probabilities) * 0),
                    )[1]
                    probabilities += 0 * tf.reduce_sum(waste)
                classes = tf.constant(["disc", "ring", "square"])
                return {
                    "probabilities": probabilities,
                    "label": tf.gather(classes, tf.argmax(probabilities, -1)),
                    "classes": tf.tile(classes[tf.newaxis], [tf.shape(examples)[0], 1]),
                }

        served = Served(self._kernel)
        tf.saved_model.save(served, str(path), signatures={"serving_default": served.serve})
        return path

    def launch(self, folder: Path):
        """Starts real serving processes below a folder."""

        def one(name: str, model: Path) -> AloneServer:
            own = folder / f"{name}-process"
            own.mkdir()
            return AloneServer(model, self.requests, own, timeout=120)

        return one

    def _network(self, pixels):
        return self._tf.nn.softmax(self._tf.reshape(pixels, [-1, SIZE * SIZE * 3]) @ self._kernel / 8)

    def _example(self, picture: np.ndarray) -> bytes:
        tf, file = self._tf, io.BytesIO()
        Image.fromarray(picture).save(file, "png")
        feature = {"image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[file.getvalue()]))}
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Models:
    pytest.importorskip("tensorflow")
    return Models(tmp_path_factory.mktemp("models"))

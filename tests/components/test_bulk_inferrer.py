"""Bulk inference as a stage of Beam: files of examples in, what all models say about them out."""

from __future__ import annotations

import apache_beam as beam
import pytest
import tensorflow as tf

from components.bulk_inferrer.inference import BATCH, AskModels
from components.bulk_inferrer.shard import Shard
from finetune.errors import RunError

EXAMPLES = BATCH + 3


class Served(tf.Module):
    """Says by the length of an example how probable its first class is."""

    def __init__(self, classes, output="label"):
        super().__init__()
        self._classes, self._output = classes, output

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples):
        first = 1 / tf.cast(tf.strings.length(examples), tf.float32)
        rows = tf.tile(tf.constant([self._classes]), [tf.size(examples), 1])
        return {"probabilities": tf.stack([first, 1 - first], axis=1), "classes": rows, self._output: rows[:, 0]}


def example(number: int) -> bytes:
    texts = {"path": f"{number}.txt", "label": "ab"[number % 2], "site": "x" * number, "sha256": f"{number:064x}"}
    values = {name: tf.train.BytesList(value=[text.encode()]) for name, text in texts.items()}
    features = {name: tf.train.Feature(bytes_list=value) for name, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two files of examples, and three models."""
    path = tmp_path_factory.mktemp("inference")
    for name, numbers in {"one": range(EXAMPLES), "two": range(EXAMPLES, EXAMPLES + 2)}.items():
        with tf.io.TFRecordWriter(str(path / name)) as writer:
            for number in numbers:
                writer.write(example(number))
    for name, model in {"ab": Served(["a", "b"]), "bc": Served(["b", "c"]), "other": Served(["a", "b"], "x")}.items():
        tf.saved_model.save(model, str(path / name), signatures={"serving_default": model.serve})
    return path


def ask(folder, target, *models):
    target.mkdir()
    elements = [(str(folder / name), str(target / name)) for name in ("one", "two")]
    with beam.Pipeline(runner="apache_beam.runners.portability.fn_api_runner.FnApiRunner") as pipeline:
        asked = AskModels("single_label", {name: str(folder / name) for name in models}, ["site", "none"])
        _ = pipeline | beam.Create(elements, reshuffle=True) | beam.ParDo(asked).with_output_types(type(None))


def test_all_models_are_asked_about_each_example_in_the_order_of_its_file(folder, tmp_path):
    ask(folder, tmp_path / "out", "ab", "bc")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["one", "two"], "nothing unfinished is left"
    shard = Shard.read(tmp_path / "out" / "one")
    assert list(shard.paths) == [f"{number}.txt" for number in range(EXAMPLES)]
    assert list(shard.digests) == [f"{number:064x}" for number in range(EXAMPLES)]
    assert [label for (label,) in shard.labels] == ["ab"[number % 2] for number in range(EXAMPLES)]
    assert shard.columns == {"site": ["x" * n for n in range(EXAMPLES)], "none": [""] * EXAMPLES}
    assert {name: list(found.classes) for name, found in shard.models.items()} == {"ab": ["a", "b"], "bc": ["b", "c"]}
    sure = [1 / len(example(number)) for number in range(EXAMPLES)]
    for found in shard.models.values():
        assert found.probabilities[:, 0] == pytest.approx(sure)
        assert found.said[:, 0].all(), "what is served as label is what is said"
    assert list(Shard.read(tmp_path / "out" / "two").paths) == [f"{EXAMPLES}.txt", f"{EXAMPLES + 1}.txt"]


def test_a_model_of_another_task_is_named(folder, tmp_path):
    with pytest.raises((RunError, RuntimeError), match=r"other serves classes, probabilities, x and not 'label'"):
        ask(folder, tmp_path / "out", "ab", "other")

"""Exported bytes that do not depend on what else the process did, nor on where files lay."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2, saved_object_graph_pb2

from trainer_module.export.canonical import make_canonical, map_strings, renumbered


class Lookup(tf.Module):
    """What TensorFlow names by a counter or a path: tables, a loop, a custom gradient, captures, a lookup of rows."""

    def __init__(self, vocabulary: Path):
        self.weight = tf.Variable([2.0, 3.0], name="weight")
        self.vocabulary = tf.saved_model.Asset(str(vocabulary))
        entries = tf.lookup.TextFileInitializer(
            self.vocabulary,
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        self.table = tf.lookup.StaticHashTable(entries, -1)
        self.of_tensors = [
            tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(tf.constant(["b"]), tf.constant([value])), 0)
            for value in (1, 2)
        ]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")], autograph=False)
    def serve(self, words: tf.Tensor) -> tf.Tensor:
        numbers = tf.cast(self.table.lookup(words), tf.float32)
        numbers += tf.cast(tf.add_n([table.lookup(words) for table in self.of_tensors]), tf.float32)
        rows = tf.nn.embedding_lookup(self.weight, tf.zeros_like(numbers, tf.int32))
        return tf.nn.silu(tf.map_fn(lambda number: tf.reduce_sum(number * self.weight), numbers)) * rows


def exported(folder: Path, *, busy: bool) -> Path:
    folder.mkdir()
    (folder / "words").write_text("a\nb\n")
    if busy:
        tf.function(lambda x: tf.map_fn(tf.nn.silu, x), autograph=False)(tf.ones(3))
    module = Lookup(folder / "words")
    tf.saved_model.save(module, str(folder / "model"), signatures={"serving_default": module.serve})
    return folder / "model"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    return [exported(folder / "one", busy=False), exported(folder / "another", busy=True)]


def test_the_same_bytes_from_another_place_and_a_busier_process(models: list[Path]):
    words = tf.constant(["b", "c"])
    untouched = tf.saved_model.load(str(models[0]))
    expected = untouched.serve(words).numpy()
    assert len({(model / "saved_model.pb").read_bytes() for model in models}) == 2
    for model in models:
        make_canonical(str(model))
    for name in ("saved_model.pb", "fingerprint.pb"):
        assert len({(model / name).read_bytes() for model in models}) == 1, name
    assert str(models[0].parent).encode() not in (models[0] / "saved_model.pb").read_bytes()

    loaded = tf.saved_model.load(str(models[1]))
    np.testing.assert_array_equal(loaded.signatures["serving_default"](words)["output_0"].numpy(), expected)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(loaded.serve(words))
    slope = tape.gradient(total, loaded.weight)
    assert np.isfinite(slope.numpy()).all()
    assert np.abs(slope.numpy()).min() > 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_numbers_that_came_in_another_order_make_no_difference(models: list[Path], tmp_path: Path, seed: int):
    """As those of a Transform graph do, which each process numbers anew when it loads it."""
    shuffled = Path(shutil.copytree(models[0], tmp_path / "shuffled"))
    make_canonical(str(shuffled))
    expected = (shuffled / "saved_model.pb").read_bytes()
    saved = saved_model_pb2.SavedModel.FromString(expected)
    (meta_graph,) = saved.meta_graphs
    names = sorted(function.signature.name for function in meta_graph.graph_def.library.function)
    numbers = list(range(100, 100 + len(names)))
    random.Random(seed).shuffle(numbers)
    others = {name: f"{name.rpartition('_')[0]}_7{seed}_{number}" for name, number in zip(names, numbers, strict=True)}
    map_strings(meta_graph, lambda text: others.get(text, text))
    (shuffled / "saved_model.pb").write_bytes(saved.SerializeToString())
    make_canonical(str(shuffled))
    assert (shuffled / "saved_model.pb").read_bytes() == expected


def test_names_are_numbered_anew_in_the_order_given():
    names = ["serve_907", "plain", "body_95_3", "CustomGradient-96"]
    assert renumbered(names) == {
        "serve_907": "serve_0",
        "body_95_3": "body_1",
        "CustomGradient-96": "CustomGradient_2",
    }


def test_a_new_name_that_is_anothers_old_one_takes_nothing_from_it():
    graph = saved_object_graph_pb2.SavedObjectGraph()
    for place, name in enumerate(["body_2", "body_7", "body_9"]):
        graph.concrete_functions[name].bound_inputs.append(place)
    names = renumbered(sorted(graph.concrete_functions))
    map_strings(graph, lambda text: names.get(text, text))
    inputs = {name: list(function.bound_inputs) for name, function in graph.concrete_functions.items()}
    assert inputs == {"body_0": [0], "body_1": [1], "body_2": [2]}

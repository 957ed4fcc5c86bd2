"""A served model is asked about each example once, and what it said is kept for later runs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf

from components.teacher.asking import BATCH, Teacher
from finetune.errors import DataError, RunError


class Served(tf.Module):
    """Says `b` with the first byte of an example as its probability in per cent, and refuses those that are empty."""

    def __init__(self, names: list[str], bias: float = 0.0):
        super().__init__()
        self.names = tf.constant(names)
        self.bias = tf.Variable(bias)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples):
        share = tf.cast(tf.io.decode_raw(tf.strings.substr(examples, 0, 1), tf.uint8)[:, 0], tf.float32) / 100
        probabilities = tf.stack([1 - share - self.bias, share + self.bias], axis=1)
        classes = tf.tile(self.names[tf.newaxis], [tf.size(examples), 1])
        return {"probabilities": probabilities, "classes": classes, "label": classes[:, 0]}


def saved(folder, names=("a", "b"), **changes):
    model = Served(list(names), **changes)
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})
    return folder


EXAMPLES = [(f"key {number}", bytes([number])) for number in range(1, 81)]


def asked(teacher, cache=None, examples=EXAMPLES):
    batches: list[int] = []
    found = dict(teacher.answers(examples, cache, batches.append))
    return found, batches


def test_answers_have_our_order_of_classes_and_are_kept_for_later_runs(tmp_path, monkeypatch):
    teacher = Teacher("t", saved(tmp_path / "t"), "single_label", ["b", "a"])
    found, batches = asked(teacher, cache := teacher.cache(tmp_path / "kept", 1e9))
    assert batches == [BATCH, BATCH, 80 - 2 * BATCH]
    np.testing.assert_allclose(found["key 30"], [0.3, 0.7], rtol=1e-6)
    cache.tidy()

    again = Teacher("elsewhere", tmp_path / "t", "single_label", ["b", "a"])
    questions: list[int] = []
    ask = again._ask
    monkeypatch.setattr(again, "_ask", lambda values: questions.append(len(values)) or ask(values))
    more = [*EXAMPLES, ("new", bytes([50]))]
    later, _ = asked(again, again.cache(tmp_path / "kept", 1e9), more)
    assert questions == [1]
    assert all((later[key] == found[key]).all() for key in found)
    np.testing.assert_allclose(later["new"], [0.5, 0.5])


def test_another_teacher_or_another_order_finds_nothing_of_it(tmp_path):
    first = Teacher("t", saved(tmp_path / "one"), "single_label", ["b", "a"])
    _, _ = asked(first, cache := first.cache(tmp_path / "kept", 1e9))
    cache.tidy()
    other = Teacher("t", saved(tmp_path / "two", bias=0.1), "single_label", ["b", "a"])
    assert other.digest != first.digest
    found, _ = asked(other, other.cache(tmp_path / "kept", 1e9))
    np.testing.assert_allclose(found["key 30"], [0.4, 0.6], rtol=1e-6)
    turned = Teacher("t", tmp_path / "one", "single_label", ["a", "b"])
    found, _ = asked(turned, turned.cache(tmp_path / "kept", 1e9))
    np.testing.assert_allclose(found["key 30"], [0.7, 0.3], rtol=1e-6)


def test_what_cannot_teach_is_refused(tmp_path):
    folder = saved(tmp_path / "t")
    with pytest.raises(DataError, match="t has 2 classes, and the examples have 3: it does not know 'c'"):
        asked(Teacher("t", folder, "single_label", ["a", "b", "c"]))
    with pytest.raises(RunError, match="That is a model of task single_label"):
        Teacher("t", folder, "multi_label", ["a", "b"])
    with pytest.raises(RunError, match=r"t cannot answer about these examples"):
        asked(Teacher("t", folder, "single_label", ["a", "b"]), examples=[("one", b"a"), ("empty", b"")])
    (folder / "saved_model.pb").write_bytes(b"torn")
    with pytest.raises(RunError, match=r"training\.distillation\.teacher: t is not served"):
        Teacher("t", folder, "single_label", ["a", "b"])

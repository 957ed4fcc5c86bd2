"""What a serving log names becomes transformed examples; what cannot be read is left out and told."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.data_gate import served
from components.data_gate.examples import RawExample, as_examples
from finetune import events
from finetune.errors import DataError
from finetune.serving_log import ServedRow, write_serving_log
from trainer_module.embedding import Embedding
from transforms import features
from transforms.records import read_records, serialise


@dataclass
class Output:
    """Of Transform, without a graph."""

    def vocabulary_by_name(self, name: str) -> list[bytes]:
        return [b"ham", b"spam"]


class Graph:
    """Gives texts as they are; one that says `bad` fails its batch, as a picture that cannot be decoded does."""

    def __init__(self, output: Output, raw: str):
        self.raw = raw

    def of_raw(self, records: list[bytes]) -> list[bytes]:
        texts = [tf.train.Example.FromString(each).features.feature[self.raw].bytes_list.value[0] for each in records]
        if b"bad" in texts:
            raise tf.errors.InvalidArgumentError(None, None, "cannot decode")
        return [serialise({"seen": text}) for text in texts]

    def of_others(self, records: list[bytes]) -> list[bytes]:
        return [serialise({"key": number}) for number, _ in enumerate(records)]


@pytest.fixture(autouse=True)
def _graph(monkeypatch):
    monkeypatch.setattr(served, "TransformGraph", Graph)


def seen(file: Path) -> list[bytes]:
    examples = map(tf.train.Example.FromString, read_records([str(file)]).as_numpy_iterator())
    return [example.features.feature["seen"].bytes_list.value[0] for example in examples]


def test_texts_and_files_are_read_and_the_bad_ones_are_told(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("in a file")
    log = tmp_path / "log.csv"
    rows = [ServedRow(text="one"), ServedRow(text="bad"), ServedRow(path="note.txt"), ServedRow(path="gone.txt")]
    write_serving_log(log, rows)
    told: list[events.Event] = []
    with events.subscribe(told.append):
        assert served.write_served(log, Output(), "text", tmp_path / "served") == 2
    assert seen(tmp_path / "served") == [b"one", b"in a file"]
    assert [note.text for note in told] == [f"DataGate: 2 of 4 rows of {log} cannot be read any more"]


def test_what_was_served_is_no_part_of_what_is_checked(tmp_path: Path, monkeypatch) -> None:
    log = tmp_path / "log.csv"
    write_serving_log(log, [ServedRow(text="one")])

    def embed(settings, output, files):
        splits = np.array(list(files))
        values = np.arange(len(splits), dtype=np.float32)[:, np.newaxis]
        return Embedding(["ham", "spam"], list(files), splits, values > 0, values, values)

    monkeypatch.setattr(served, "embed", embed)
    settings, files = {"modality": "text"}, {"train": "a", "val": "b"}
    embedding, of_served = served.embed_with_served(settings, Output(), files, log)
    assert embedding.splits.tolist() == embedding.keys == ["train", "val"]
    assert len(embedding.labels) == len(embedding.features) == len(embedding.held_out) == 2
    assert of_served.tolist() == [[2.0]]
    assert served.embed_with_served(settings, Output(), files, None)[1] is None
    write_serving_log(log, [ServedRow(text="bad")])
    assert len(served.embed_with_served(settings, Output(), files, log)[1]) == 0


def test_the_group_of_an_example_is_no_column_of_it() -> None:
    zeros = np.zeros((2, 1), np.float32)
    embedding = Embedding(["ham"], ["k", "k"], np.array(["train", "train"]), zeros == 0, zeros, zeros)
    raw = {("train", "k"): deque([RawExample("a", b"x", ("north", "7")), RawExample("b", b"y", ("south", ""))])}
    examples = as_examples(embedding, raw, "text", ["site", features.GROUP], one_label=True)
    assert examples.columns == {"site": ["north", "south"]}
    assert examples.groups.tolist() == ["7", ""]
    assert examples.texts == ["x", "y"]


def test_a_log_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.serving_log"):
        served.write_served(tmp_path / "log.csv", Output(), "text", tmp_path / "served")

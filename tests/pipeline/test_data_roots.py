"""What `validate`, `plan` and the answer that holds still make of data in spans."""

from __future__ import annotations

import io
import shutil
import time
from pathlib import Path

import pytest
from rich.console import Console

from evaluation.foresight import Sizes
from finetune.config import Config
from finetune.errors import ConfigError
from pipeline import unchanged
from pipeline.checks import files_exist
from pipeline.data_roots import roots_of, spans_of
from pipeline.frozen_features_plan import count_examples
from pipeline.modalities import modality_of
from pipeline.plan import print_plan
from pipeline.split_sizes import expected_sizes
from pipeline.unchanged import DATA_BYTES, Inputs, changed, inputs_of


class Fixed:
    """Code that does not change."""

    def bytes_digest(self) -> str:
        return ""


def add_span(store: Path, name: str, **counts: int) -> None:
    for kind, count in counts.items():
        folder = store / name / kind
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number}.png").write_bytes(f"{name} {kind} {number}".encode())


@pytest.fixture
def store(tmp_path) -> Path:
    """Three spans, of which the last is a set of split folders."""
    add_span(tmp_path / "store", "1", a=20, b=20)
    add_span(tmp_path / "store", "2", a=40, b=20)
    add_span(tmp_path / "store", "3", **{"train/a": 20, "train/b": 20, "test/a": 5, "test/b": 4})
    return tmp_path / "store"


def config(store: Path, **data) -> Config:
    backbone = {"name": "SmallCNN", "weights": "random"}
    raw = {"name": "n", "data": {"root": f"{store}/{{SPAN}}", **data}, "backbone": backbone}
    return Config.model_validate({**raw, "output_dir": str(store.parent / "out")})


def expected(a: float, b: float) -> Sizes:
    return Sizes(round(a) + round(b), {"a": round(a), "b": round(b)})


def test_the_spans_of_the_window_are_the_roots(store):
    assert roots_of(config(store, window=2).data) == [f"{store}/2", f"{store}/3"]
    found = spans_of(config(store, spans=["..2"]))
    assert [span.name for span in found.spans] == ["1", "2"]
    assert found.digests[0].startswith("files:40,")
    assert roots_of(config(store).data.model_copy(update={"root": "plain"})) == ["plain"]


def test_examples_of_all_spans_are_counted_each_by_its_own_layout(store):
    assert expected_sizes(config(store, window=2)) == {
        "train": expected(28 + 17, 14 + 17),
        "test": expected(6 + 5, 3 + 4),
    }
    assert count_examples(config(store, window=2).data) == (42 + 34, 9 + 6)
    assert modality_of(config(store).data) == "image"


def test_plan_names_the_spans_that_would_be_read(store):
    def planned(**data) -> str:
        console = Console(file=io.StringIO(), width=200)
        print_plan(config(store, **data), console)
        (line,) = [line for line in console.file.getvalue().splitlines() if line.startswith("spans")]
        return line.removeprefix("spans").strip()

    assert planned(window=2) == f"2: {store}/2, {store}/3"
    assert "no span that is wanted is complete" in planned(span_marker="_SUCCESS")
    for span in range(4, 20):
        add_span(store, str(span), a=1)
    assert planned().startswith(f"19: {store}/1, ..., {store}/13, {store}/14")


def test_validate_says_what_is_wrong_with_a_store(store):
    def problems(**data) -> list[str]:
        return files_exist(config(store, **data).model_dump(mode="json"))

    assert problems() == []
    assert problems(spans=["9"]) == [f"data.spans: got 9, and '{store}' has no such span; there are 1, 2, 3."]
    (problem,) = problems(span_marker="_SUCCESS")
    assert "no span that is wanted is complete: 1, 2, 3 lack the file '_SUCCESS'" in problem
    shutil.rmtree(store)
    (problem,) = problems()
    assert "cannot be listed (No such file or directory)" in problem
    with pytest.raises(ConfigError, match="cannot be listed"):
        modality_of(config(store).data)


def test_an_answer_holds_until_a_span_of_the_window_changes(store, monkeypatch):
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 3600 * 10**9)
    monkeypatch.setattr(unchanged, "installed", Fixed)

    def look(with_bytes: bool = False, **data) -> Inputs:
        return inputs_of(config(store, **{"window": 2, **data}), with_bytes)

    before = look(with_bytes=True)
    assert before.settled
    (store / "1" / "a" / "0.png").unlink()
    assert changed(before.digests, look(with_bytes=True).digests) == []
    (store / "2" / "a" / "0.png").write_bytes(b"other")
    assert changed(before.digests, look(with_bytes=True).digests) == ["data", DATA_BYTES]
    shutil.rmtree(store / "3")
    assert "data" in changed(look(window=1).digests, look(window=1, spans=["1"]).digests)
    shutil.rmtree(store)
    assert not look().settled

"""Events: who gets them, what a listener that raises does, and their form in a log."""

from __future__ import annotations

import io
import json
import logging
import threading
import typing
from datetime import datetime, timezone

import pytest

from finetune import events
from finetune.events import ComponentFinished, Epoch, Note, Progress, RunStarted, Step, from_line, subscribe, to_line

EPOCH = Epoch(
    component="Trainer", phase="head", epoch=1, epochs=2, number=1, learning_rate=0.1, loss=0.5, accuracy=0.75,
    val_loss=float("inf"), val_accuracy=0.5, seconds=1.5,
)  # fmt: skip


def test_listeners_get_events_while_their_block_is_open():
    outer: list[events.Event] = []
    inner: list[events.Event] = []
    with subscribe(outer.append):
        with subscribe(inner.append):
            events.emit(Note(text="a"))
        events.emit(Note(text="b"))
    events.emit(Note(text="c"))
    assert [note.text for note in outer] == ["a", "b"]
    assert [note.text for note in inner] == ["a"]


def test_a_listener_that_raises_ends_nothing_and_is_told_once(caplog):
    def broken(event: events.Event) -> None:
        raise RuntimeError("boom")

    heard: list[events.Event] = []
    with caplog.at_level(logging.WARNING), subscribe(broken), subscribe(heard.append):
        events.emit(Note(text="a"))
        events.emit(Note(text="b"))
    assert len(heard) == 2
    (record,) = caplog.records
    assert "broken" in record.getMessage()
    assert "boom" in caplog.text


def test_a_listener_may_emit_and_leave_while_it_is_called():
    heard: list[str] = []

    def echo(event: events.Event) -> None:
        assert isinstance(event, Note)
        heard.append(event.text)
        if len(event.text) < 3:
            events.emit(Note(text=event.text + "!"))

    with subscribe(echo):
        events.emit(Note(text="a"))
    assert heard == ["a", "a!", "a!!"]


def test_threads_that_come_and_go_lose_nothing():
    counts = [0] * 8

    def work(number: int) -> None:
        for _ in range(200):
            with subscribe(lambda event: None):
                events.emit(Progress(component=str(number), done=1, total=None, unit="files"))

    def count(event: events.Event) -> None:
        assert isinstance(event, Progress)
        counts[int(event.component)] += 1

    with subscribe(count):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
    assert counts == [200] * 8
    assert events._subscriptions == ()


def test_a_line_opens_with_its_kind_and_is_read_back():
    for event in (
        EPOCH,
        RunStarted(components=("A", "B"), log_file="log"),
        ComponentFinished(component="A", state="cached", seconds=0.5),
        Note(text='two\nlines, "quotes" and ü', level="warning"),
    ):
        line = to_line(event)
        assert line.startswith(f'{{"kind": "{event.kind}"')
        assert "\n" not in line
        assert from_line(line) == event


def test_a_line_of_another_version_is_read_where_it_can_be():
    known = '{"kind": "component_finished", "component": "A", "state": "ran", "seconds": 1.5, "later": [1]}'
    assert from_line(known) == ComponentFinished(component="A", state="ran", seconds=1.5)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "INFO something else",
        '{"kind": "never_heard_of"}',
        '{"kind": "note"}',
        '{"kind": "component_finished", "component": "A", "state": "perhaps", "seconds": 1}',
        '{"kind": "note", "text": ',
        '{"kind": ' + "[" * 100_000,
    ],
)
def test_what_is_no_event_is_none(line):
    assert from_line(line) is None


def test_steps_are_not_written_to_a_log():
    stream = io.StringIO()
    with subscribe(events.lines_to(stream)):
        events.emit(Step(component="T", phase="head", epoch=1, step=1, loss=1.0, accuracy=0.5))
        events.emit(EPOCH)
    line = stream.getvalue()
    at = json.loads(line)["at"]
    assert line == to_line(EPOCH, at=at) + "\n"
    assert abs((datetime.now(timezone.utc) - datetime.fromisoformat(at)).total_seconds()) < 60
    assert from_line(line) == EPOCH


def test_every_event_has_a_kind_of_its_own():
    kinds = [typing.get_args(typing.get_type_hints(event)["kind"])[0] for event in typing.get_args(events.Event)]
    assert len(set(kinds)) == len(kinds)

"""What a tracker is to have: delivered in order, kept while it is down, and never waited for."""

from __future__ import annotations

import threading
import time

import pytest

from finetune.events import Note
from trainer_module.tracking import journal as journals
from trainer_module.tracking import outbox
from trainer_module.tracking.entries import Numbers, RunBegins, RunEnds
from trainer_module.tracking.journal import journal_of, new_journal, waiting
from trainer_module.tracking.outbox import Outbox, RefusedError, deliver_waiting, without_secrets


class Server:
    """Stands in for a tracker that can be down, slow, or particular."""

    def __init__(self):
        self.is_down = False
        self.taken: list[object] = []
        self.attempts = 0
        self.refuses: set[int] = set()
        self.answers = threading.Event()
        self.answers.set()

    def take(self, entry):
        self.attempts += 1
        self.answers.wait()
        if self.is_down:
            raise ConnectionError("refused by http://ann:secret@host/api")
        if isinstance(entry, Numbers) and entry.step in self.refuses:
            raise RefusedError("too long")
        self.taken.append(entry)

    def close(self):
        pass

    @property
    def steps(self):
        return [entry.step for entry in self.taken if isinstance(entry, Numbers)]


def numbers(step: int, run: str = "r") -> Numbers:
    return Numbers(run=run, values={"loss": 1.0}, step=step, at=1.0)


BEGINS = RunBegins(run="r", title="Trainer", parameters={"seed": "1"})


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(outbox.time, "monotonic", lambda: now[0])
    return now


def warnings(heard) -> list[str]:
    return [note.text for note in heard if isinstance(note, Note) and note.level == "warning"]


def test_a_server_that_was_down_for_a_while_gets_what_it_missed_in_order(clock, heard):
    server = Server()
    box = Outbox("MLflow", lambda: server)
    box.put(numbers(1))
    assert box.deliver_if_due()
    server.is_down = True
    for step in range(2, 12):
        box.put(numbers(step))
        box.deliver_if_due()
        clock[0] += 0.9
    assert server.attempts == 2, "no attempt within ten seconds of the last"
    server.is_down, server.taken = False, []
    clock[0] += 10
    assert box.deliver_if_due()
    assert server.steps == list(range(1, 12)), "it may have lost what it had, and takes nothing twice"
    (told,) = warnings(heard)
    assert told.startswith("MLflow cannot be written to and is tried again: ConnectionError")
    assert "secret" not in told
    assert heard[-1].text == "MLflow is written to again, and has what it missed"


def test_attempts_become_rare(clock):
    server = Server()
    server.is_down = True
    box = Outbox("MLflow", lambda: server)
    for step in range(3600):
        box.put(numbers(step))
        box.deliver_if_due()
        clock[0] += 1
    assert server.attempts <= 17, "after 0, 10, 30, 70, 150, 310 ... and then every 300 seconds of an hour"


def test_an_entry_that_is_refused_holds_nothing_up(heard):
    server = Server()
    server.refuses = {2}
    box = Outbox("MLflow", lambda: server)
    for step in (1, 2, 3):
        box.put(numbers(step))
    assert box.deliver()
    assert server.steps == [1, 3]
    assert warnings(heard) == ["MLflow does not take numbers: too long"]


def test_a_server_that_never_answers_is_waited_for_at_the_end_alone_and_not_long(tmp_path, heard):
    server = Server()
    server.answers.clear()
    box = Outbox("MLflow", lambda: server, new_journal(tmp_path, "key"))
    box.start()
    began = time.monotonic()
    for step in range(1000):
        box.put(numbers(step))
    assert time.monotonic() - began < 5
    assert not box.close(seconds=0.2)
    assert warnings(heard)[-1] == "MLflow was not reached in time; entries that wait for the next run: 1000"
    server.answers.set()


def test_what_a_process_leaves_is_delivered_by_the_next_before_its_own(tmp_path):
    server = Server()
    server.is_down = True
    first = Outbox("MLflow", lambda: server, new_journal(tmp_path, "first"))
    first.start()
    for entry in (BEGINS, numbers(1), RunEnds(run="r", succeeded=True, at=2.0)):
        first.put(entry)
    assert not first.close()
    server.is_down = False
    second = Outbox("MLflow", lambda: server, new_journal(tmp_path, "second"))
    second.start()
    second.put(numbers(9, run="later"))
    assert second.close()
    assert server.taken == [BEGINS, numbers(1), RunEnds(run="r", succeeded=True, at=2.0), numbers(9, run="later")]
    assert list(tmp_path.glob("*.jsonl")) == []


def test_a_training_that_was_killed_goes_on_with_its_journal_and_half_a_line_is_none(tmp_path):
    killed = journal_of(tmp_path, "key")
    for entry in (BEGINS, numbers(1), numbers(2)):
        killed.add(entry)
    killed.release()
    (file,) = tmp_path.glob("*.jsonl")
    with file.open("a") as torn:
        torn.write('{"kind": "numbers", "run": "r", "va')
    again = journal_of(tmp_path, "key")
    again.add(numbers(3))
    assert again.entries == [BEGINS, numbers(1), numbers(2), numbers(3)]
    again.release()
    (whole,) = waiting(tmp_path)
    assert whole.entries == [BEGINS, numbers(1), numbers(2), numbers(3)]


def test_a_training_that_ended_well_is_over_and_one_that_failed_goes_on(tmp_path):
    journal = journal_of(tmp_path, "key")
    for entry in (BEGINS, numbers(1), RunEnds(run="r", succeeded=False, at=1.0)):
        journal.add(entry)
    journal.release()
    server = Server()
    deliver_waiting(tmp_path, server.take)
    assert server.steps == [1]
    again = journal_of(tmp_path, "key")
    assert again.entries == [BEGINS], "the server has the rest, and would get this run anew if it lost it"
    again.add(RunEnds(run="r", succeeded=True, at=2.0))
    again.release()
    new = journal_of(tmp_path, "key")
    assert new.entries == [], "that one is over"
    new.release()


def test_a_journal_that_somebody_holds_is_left_alone(tmp_path):
    held = journal_of(tmp_path, "key")
    held.add(BEGINS)
    held.add(numbers(1))
    assert list(waiting(tmp_path)) == []
    other = journal_of(tmp_path, "key")
    assert other.entries == [], "two processes do not write into one"
    held.release()
    other.release()


def test_what_nobody_takes_for_a_month_is_dropped(tmp_path, monkeypatch):
    journal = new_journal(tmp_path, "key")
    journal.add(numbers(1))
    journal.release()
    monkeypatch.setattr(journals, "KEPT_SECONDS", -1)
    assert list(waiting(tmp_path)) == []
    assert list(tmp_path.glob("*.jsonl")) == []


def test_a_full_disk_leaves_it_in_memory(small_disk, heard):
    folder = small_disk(64)
    journal = new_journal(folder / "journals", "key")
    server = Server()
    box = Outbox("MLflow", lambda: server, journal)
    box.start()
    for step in range(2000):
        box.put(numbers(step))
    assert box.close()
    assert len(server.steps) == 2000
    told = [text for text in warnings(heard) if "kept in memory alone" in text]
    assert len(told) == 1


def test_secrets_are_not_told(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    assert (
        without_secrets("401 for Bearer t0ken at https://ann:pw@host/x") == "401 for Bearer ... at https://...@host/x"
    )

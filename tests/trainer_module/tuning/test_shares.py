"""Which trials are whose, where several workers train some each."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from finetune.artifacts.tuning import Trial
from finetune.errors import RunError
from trainer_module.tuning.shares import Alone, Shared


def test_who_is_alone_trains_what_is_not_over():
    shares = Alone({1, 2})
    assert [number for number in range(4) if shares.take(number)] == [0, 3]
    assert shares.is_left(3), "it is asked before each trial, and trains each once"


def test_a_trial_is_one_workers(tmp_path: Path):
    one, other = Shared(tmp_path), Shared(tmp_path)
    with one.taking_part(), other.taking_part():
        assert one.is_left(0)
        assert one.take(0)
        assert not other.is_left(0)
        assert not other.take(0)
        assert other.take(1)
        assert one.is_mine(0)
        assert not one.is_mine(1)


def test_of_many_that_reach_for_the_same_trials_each_is_taken_once(tmp_path: Path):
    taken: list[int] = []

    def reach() -> None:
        shares = Shared(tmp_path)
        with shares.taking_part():
            for number in range(50):
                if shares.take(number):
                    taken.append(number)
                    shares.leave(Trial(number=number))

    threads = [threading.Thread(target=reach) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(50))


def test_what_is_over_is_nobodys_and_all_know_what_became_of_it(tmp_path: Path):
    one, other = Shared(tmp_path), Shared(tmp_path)
    with one.taking_part(), other.taking_part():
        assert other.result(3) is None
        one.take(3)
        one.leave(Trial(number=3, score=0.5))
        assert not other.take(3)
        assert other.result(3) == Trial(number=3, score=0.5)
    assert Shared(tmp_path).is_over(3)


def test_who_leaves_in_order_gives_back_what_it_has_not_trained(tmp_path: Path):
    one, other = Shared(tmp_path), Shared(tmp_path)
    with other.taking_part():
        with one.taking_part():
            one.take(0)
            one.take(1)
            one.leave(Trial(number=1))
        assert other.is_left(0)
        assert not other.is_left(1)


def test_the_trial_of_a_worker_that_is_gone_is_anybodys_after_a_while_and_not_of_one_that_lives(tmp_path: Path):
    lives, other = (Shared(tmp_path, lost_seconds=0.6) for _ in range(2))
    with lives.taking_part(), other.taking_part():
        lives.take(1)
        # As a kill leaves it: the claim is there, and nobody renews the lease.
        (tmp_path / "claims" / "0").write_text("killed")
        (tmp_path / "workers" / "killed").write_text("its last word")
        assert not other.is_left(0), "it may still live"
        assert not other.is_left(1)
        time.sleep(1.0)
        assert not other.is_left(1)
        assert other.take(0)
        assert not lives.take(0)


def test_a_claim_that_is_not_written_yet_is_waited_for(tmp_path: Path):
    shares = Shared(tmp_path, lost_seconds=0.2)
    with shares.taking_part():
        (tmp_path / "claims" / "0").touch()
        assert not shares.is_left(0)


def test_a_torn_result_is_named(tmp_path: Path):
    shares = Shared(tmp_path)
    (tmp_path / "4.json").write_text("{")
    with pytest.raises(RunError, match=r"4\.json: expected a trial"):
        shares.result(4)

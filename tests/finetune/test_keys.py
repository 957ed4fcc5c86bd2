"""Dotted keys: read, written, and explained where they lead nowhere."""

from __future__ import annotations

import pytest

from finetune.config import keys


def test_a_key_is_names_and_places_and_back():
    assert keys.parse("training.phases[1].epochs") == ["training", "phases", 1, "epochs"]
    assert keys.join(["training", "phases", 1, "epochs"]) == "training.phases[1].epochs"


@pytest.mark.parametrize("key", ["", ".", "a..b", "[0].a", "a.", "a[x]", "a[1", "a]b"])
def test_what_is_no_dotted_key(key):
    with pytest.raises(ValueError, match=r"expected a dotted key, such as training\.phases"):
        keys.parse(key)


def test_reading_finds_what_is_there_and_nothing_elsewhere():
    raw = {"a": [{"b": 3}, None], "c": "text"}
    assert keys.value_at(raw, "a[0].b") == 3
    for key in ("a[1].b", "a[7].b", "a.b", "c.d", "c[0]", "d.e"):
        assert keys.value_at(raw, key) is None


def test_writing_makes_sections_but_no_entries_of_lists():
    raw = {"a": [1]}
    keys.set_at(raw, "b.c.d", 2)
    keys.set_at(raw, "a[0]", 3)
    assert raw == {"a": [3], "b": {"c": {"d": 2}}}
    with pytest.raises(ValueError, match=r"a is given with 1 entries in the file; there is no \[1\]"):
        keys.set_at(raw, "a[1]", 3)

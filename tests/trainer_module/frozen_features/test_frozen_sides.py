"""Frozen features of two networks that meet above them: one cut of each."""

from __future__ import annotations

from trainer_module.frozen_features.cuts import Node, constancy, deepest_cut

TWO_SIDES = [
    Node("pixels", (), "pixels", shape=(8, 8, 3)),
    Node("ids", (), "ids", shape=(5,), item_bytes=8),
    Node("there", (), "there", shape=(2,), item_bytes=8),
    Node("a", ("pixels",), "a", in_backbone=True, has_variables=True, shape=(4, 4, 2), multiply_adds=100),
    Node("b", ("a",), "b", in_backbone=True, has_variables=True, shape=(2, 2, 2), multiply_adds=10),
    Node("words", ("ids",), "words", in_backbone=True, has_variables=True, shape=(5, 3), multiply_adds=10),
    Node("left_out", ("there",), "left_out", has_variables=True, shape=(2,)),
    Node("out", ("b", "words", "left_out"), "out", has_variables=True),
]


def cut_with(*trained):
    return deepest_cut(TWO_SIDES, "out", constancy(trained, True))


def test_each_side_has_a_cut_of_its_own():
    assert [cut_with().name, cut_with("b").name] == ["b and words and there", "a and words and there"]
    assert cut_with("words").name == "b and ids and there"
    assert [node.name for node in cut_with("words").below] == ["pixels", "ids", "there", "a", "b"]


def test_what_is_kept_of_an_example_is_the_bytes_of_all():
    assert cut_with().row_bytes(4) == 4 * 2 * 2 * 2 + 4 * 5 * 3 + 8 * 2
    assert cut_with().row_bytes(2) == cut_with().row_bytes(4)


def test_sides_that_train_from_their_inputs_on_leave_nothing_worth_keeping():
    assert cut_with("a", "words") is None

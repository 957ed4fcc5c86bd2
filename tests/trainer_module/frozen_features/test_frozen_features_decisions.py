"""Where to cut, whether it pays, and rows in memory and in files. No TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest

from trainer_module.frozen_features.cuts import Node, constancy, deepest_cut
from trainer_module.frozen_features.plan import Budget, PhaseNeed, Rates, decide
from trainer_module.frozen_features.rows import Rows, left_behind, missing_rows


def graph(*edges: str, **marks) -> list[Node]:
    """Nodes from `name: input input`, in order; marks are those of one node, by name."""
    nodes = []
    for edge in edges:
        name, _, inputs = edge.partition(":")
        defaults = {"layer": name, "in_backbone": True, "has_variables": True, "shape": (2,), "multiply_adds": 10}
        nodes.append(Node(name, tuple(inputs.split()), **{**defaults, **marks.get(name, {})}))
    return nodes


def cut_of(nodes, *trained, inference_mode=True):
    cut = deepest_cut(nodes, nodes[-1].name, constancy(trained, inference_mode))
    return cut and cut.name


CHAIN = graph("in:", "a: in", "b: a", "c: b", "out: c")
RESIDUAL = graph("in:", "a: in", "b: a", "c: b", "add: a c", "d: add", "out: d")
BRANCHES = graph("in:", "a: in", "left: a", "right: a", "more: right", "concat: left more", "out: concat")
DENSE = graph("in:", "a: in", "b: a", "ab: a b", "c: ab", "abc: ab c", "out: abc")
SKIPS_ALL = graph("in:", "a: in", "b: a", "out: in b")
SIDE_INPUT = graph("in:", "a: in", "b: a", "mask:", "c: b mask", "out: c")


@pytest.mark.parametrize(
    ("nodes", "trained", "expected"),
    [
        (CHAIN, ["out"], "c"),
        (CHAIN, ["c", "out"], "b"),
        (CHAIN, ["a"], "in"),
        # Between `a` and `add` two tensors are alive.
        (RESIDUAL, ["out"], "d"),
        (RESIDUAL, ["d"], "add"),
        (RESIDUAL, ["c"], "a"),
        (RESIDUAL, ["b"], "a"),
        (BRANCHES, ["out"], "concat"),
        # A single branch that trains moves the cut below the fork, though its siblings are frozen.
        (BRANCHES, ["left"], "a"),
        (BRANCHES, ["more"], "a"),
        (DENSE, ["c"], "ab"),
        (DENSE, ["b"], "a"),
        (SKIPS_ALL, ["out"], "in"),
        # What begins behind a node passes it by.
        (SIDE_INPUT, ["out"], "c"),
        (SIDE_INPUT, ["c"], "b and mask"),
    ],
)
def test_the_deepest_cut_below_the_first_layer_that_trains(nodes, trained, expected):
    assert cut_of(nodes, *trained) == expected


def test_a_node_that_leads_nowhere_is_no_obstacle():
    assert cut_of(graph("in:", "a: in", "unused: in", "b: a", "out: b"), "out") == "b"


def test_a_cut_needs_one_output_of_known_size_and_work_below_it():
    assert cut_of(graph("in:", "a: in", "b: a", "out: b", b={"shape": None}), "out") == "a"
    weightless = {"multiply_adds": 0}
    assert cut_of(graph("in:", "a: in", "out: a", **{"in": weightless}), "a") is None


@pytest.mark.parametrize(
    ("mark", "trained", "inference_mode", "expected"),
    [
        ({"follows_mode": True}, [], True, "b"),  # dropout in a backbone that is called in inference mode
        ({"follows_mode": True}, [], False, "a"),  # ... and in one that is not
        ({"follows_mode": True, "is_batch_norm": True}, [], False, "b"),  # frozen BatchNorm uses its statistics
        ({"follows_mode": True, "is_batch_norm": True}, ["b"], False, "a"),  # one that trains gathers them
        ({"in_backbone": False}, [], True, "a"),  # a layer of the head that has variables always trains
        ({"in_backbone": False, "has_variables": False, "layer": "head_pool"}, [], True, "b"),
        ({"in_backbone": False, "has_variables": False, "follows_mode": True}, [], True, "a"),  # dropout of the head
    ],
)
def test_what_is_constant(mark, trained, inference_mode, expected):
    nodes = graph("in:", "a: in", "b: a", "out: b", b=mark)
    assert cut_of(nodes, "out", *trained, inference_mode=inference_mode) == expected


def test_a_cut_knows_what_it_spares():
    cut = deepest_cut(RESIDUAL, "out", constancy(["d"], True))
    assert [node.name for node in cut.below] == ["in", "a", "b", "c", "add"]
    assert cut.multiply_adds == 50
    assert (cut.row_bytes(4), cut.row_bytes(2)) == (8, 4)


def the_cut(layer="pool", numbers=1000, multiply_adds=60_000_000, item_bytes=4):
    nodes = [
        Node("in", (), "in", shape=(3,)),
        Node(layer, ("in",), layer, shape=(numbers,), multiply_adds=multiply_adds, item_bytes=item_bytes),
        Node("out", (layer,), "out", has_variables=True),
    ]
    return deepest_cut(nodes, "out", constancy([], True))


PLENTY = Budget(4, 1e9, 1e12)
RATES = Rates(multiply_adds=1e10, memory_bytes=1e9, disk_bytes=1e8)


def places(needs, budget=PLENTY, mode="auto", train=600, val=150):
    return [(one.train, one.val) for one in decide(mode, needs, train, val, budget, RATES)]


def test_it_pays_from_the_second_epoch_on():
    assert places([PhaseNeed(the_cut(), epochs=1)], val=0) == [("off", "off")]
    assert places([PhaseNeed(the_cut(), epochs=2)], val=0) == [("memory", "memory")]
    # Validation runs once more than training, so that one epoch of it is two passes already.
    assert places([PhaseNeed(the_cut(), epochs=1)], train=10, val=900) == [("memory", "memory")]


def test_one_pass_fills_all_phases_so_that_single_epochs_pay_together():
    needs = [PhaseNeed(the_cut(), epochs=1)] * 3
    assert places(needs, val=0) == [("memory", "memory")] * 3


def test_a_wide_and_cheap_cut_does_not_pay():
    # 4 MB read in 4 ms, to spare 1 ms of computing.
    need = PhaseNeed(the_cut(numbers=10**6, multiply_adds=10**7), epochs=20)
    assert places([need]) == [("off", "off")]
    assert "longer than computing it" in decide("auto", [need], 600, 150, PLENTY, RATES)[0].reason
    assert places([need], mode="on") == [("disk", "memory")]


def test_budgets_decide_where():
    needs = [PhaseNeed(the_cut(), 10), PhaseNeed(the_cut("block", 20_000), 20)]
    one = decide("auto", needs, 600, 150, PLENTY, RATES)[1]
    assert (one.train_bytes, one.val_bytes) == (600 * 80_000, 150 * 80_000)
    assert places(needs) == [("memory", "memory")] * 2
    assert places(needs, Budget(4, 600 * 80_000, 1e12)) == [("memory", "memory"), ("disk", "memory")]
    assert places(needs, Budget(4, 0, 1e12)) == [("disk", "disk")] * 2
    assert places(needs, Budget(2, 750 * 40_000, 1e12)) == [("memory", "memory")] * 2
    assert places(needs, Budget(4, 1e9, 750 * 80_000)) == [("memory", "memory"), ("off", "off")]
    assert "disk_gb" in decide("auto", needs, 600, 150, Budget(4, 1e9, 750 * 80_000), RATES)[1].reason
    assert places(needs, mode="off") == [("off", "off")] * 2


def test_new_pictures_in_every_epoch_leave_validation_to_the_cache():
    need = PhaseNeed(the_cut(), epochs=10, views=0)
    assert places([need]) == [("off", "memory")]
    assert places([PhaseNeed(None, 10)]) == [("off", "off")]


@pytest.mark.parametrize("in_memory", [True, False])
def test_rows_are_where_they_were_put(tmp_path, in_memory):
    values = np.random.default_rng(1).integers(0, 256, (300, 1000)).astype(np.uint8)
    known = {number: values[number].tobytes() for number in range(0, 300, 2)} | {4: b"of another size"}
    rows = Rows(300, 1000, None if in_memory else tmp_path / "rows")
    missing = missing_rows(300, known.get, 1000, rows)
    assert missing.tolist() == [number % 2 == 1 or number == 4 for number in range(300)]
    for number in missing.nonzero()[0]:
        rows.put(number, values[number].tobytes())
    found = rows.values if in_memory else np.fromfile(rows.path, np.uint8).reshape(300, 1000)
    np.testing.assert_array_equal(found, values)
    assert not in_memory or rows.values.ctypes.data % 64 == 0
    assert not list(tmp_path.glob("*/*")), "a process that is killed leaves nothing behind"


def test_what_an_earlier_version_kept_is_told_with_its_size(tmp_path):
    assert left_behind(tmp_path / "frozen_features") is None
    old = tmp_path / "trunk" / "abc" / "000000.rows"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"0" * 1000)
    assert left_behind(tmp_path / "frozen_features") == (tmp_path / "trunk", 1000)

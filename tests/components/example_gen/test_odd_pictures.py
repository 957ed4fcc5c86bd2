"""What the ingest says of thousands of odd files is what Pillow and TensorFlow, each asked about all of them, say."""

import collections
import hashlib
import json
from pathlib import Path

import pytest
from odd_pictures import MISHAPS, VARIANTS, odd_files

pytest.importorskip("tensorflow")

from components.example_gen.files import FileProblem
from components.example_gen.images import check_image, check_with_pillow, check_with_tensorflow

MAX_PIXELS = 1_000_000
REASONS = {None, "damaged", "truncated", "not an image", "unsupported format", "too large"}
Verdict = tuple[str, str] | None


def verdict(data: bytes, *checks) -> Verdict:
    try:
        for check in checks:
            check(data)
    except FileProblem as problem:
        return problem.reason, problem.detail
    return None


def by_both(data: bytes) -> Verdict:
    """The slow way: both libraries decode everything, Pillow first."""
    return verdict(data, lambda data: check_with_pillow(data, MAX_PIXELS), check_with_tensorflow)


def by_ingest(data: bytes) -> Verdict:
    return verdict(data, lambda data: check_image(data, MAX_PIXELS))


@pytest.mark.parametrize("count", [1500, pytest.param(12_000, marks=pytest.mark.long)])
def test_verdicts_on_odd_files(count):
    found = collections.defaultdict(set)
    for file in odd_files(count):
        told = by_ingest(file.data)
        assert told == by_both(file.data), file.kind
        found[told[0] if told else None].add(file.kind.split()[0])
    assert set(found) == REASONS, "the corpus has files for every verdict"
    assert {"JPEG", "PNG", "GIF", "BMP"} <= found[None] & found["truncated"] & found["damaged"]


def test_verdicts_are_those_of_earlier_versions():
    """The figures are of the ingest when both libraries decoded every picture; whatever changes them changes data.

    Reasons alone, and whole files and those that were cut: what else libraries make of noise changes with them.
    """
    mishaps = ("as it is", "cut", "last bytes cut", "start of another format")
    counts = collections.Counter()
    for file in odd_files(len(VARIANTS) * len(MISHAPS)):
        kind, mishap = file.kind.split(", ")
        if mishap in mishaps:
            told = by_ingest(file.data)
            counts[f"{kind.split()[0]}, {mishap}: {told[0] if told else 'used'}"] += 1
    expected = json.loads(Path(__file__).with_name("odd_pictures.json").read_text())
    assert dict(counts) == expected


def test_the_corpus_is_the_same_for_a_seed():
    few = [file.data for file in odd_files(50)]
    assert [file.data for file in odd_files(60)][:50] == few
    assert [file.data for file in odd_files(50, seed=1)] != few
    assert len({hashlib.sha256(data).hexdigest() for data in few}) > 45

"""How numbers and lists are written."""

from __future__ import annotations

import pytest

from pipeline.report import formats


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (formats.number(0.91333), "0.913"), (formats.number(0), "0.000"), (formats.number(4.2e-5), "4.2e-05"),
        (formats.number(12345.6), "12,346"), (formats.number(None), "n/a"), (formats.number(float("-inf")), "-inf"),
        (formats.duration(0.04), "0.0 s"), (formats.duration(9.97), "10 s"), (formats.duration(59.6), "1 min 00 s"),
        (formats.duration(3840), "1 h 04 min"), (formats.duration(float("nan")), "n/a"),
        (formats.short_count(6405), "6.41 k"), (formats.short_count(2264389), "2.26 M"),
        (formats.short_count(12), "12"), (formats.percent(0.042), "4.2%"), (formats.percent(0.57), "57%"),
        (formats.percent(None), "n/a"),
        (formats.plural(1, "class"), "1 class"), (formats.plural(2, "class"), "2 classes"),
        (formats.listing(["a", "b", "c"]), "a, b and c"), (formats.listing(["a"]), "a"), (formats.listing([]), ""),
        (formats.value_and_bound(0.84999, 0.85), ("0.84999", "0.85000")),
        (formats.value_and_bound(0.85, 0.85), ("0.850", "0.850")),
        (formats.value_and_bound(None, 0.85), ("n/a", "0.850")),
        (formats.rounded(2345), "2,300"),
    ],
)  # fmt: skip
def test_numbers_in_words(shown: object, expected: object):
    assert shown == expected

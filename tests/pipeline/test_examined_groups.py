"""New examples beside those before them, where examples come in groups."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tfx")

from pipeline.retraining.examination import _Space

PATIENTS, PICTURES, BEFORE = 24, 20, 16


def test_other_patients_are_no_drift_and_a_group_that_is_not_known_is_none() -> None:
    random = np.random.default_rng(2)
    patient = np.repeat(np.arange(PATIENTS), PICTURES)
    values = random.normal(size=(PATIENTS, 6))[patient] + 0.3 * random.normal(size=(len(patient), 6))
    keys = np.array([f"{place:03}" for place in range(len(patient))])
    seen, unseen = set(keys[patient < BEFORE]), set(keys[patient >= BEFORE])

    def differ(groups: dict[str, str]) -> bool:
        space = _Space((keys, values), (keys, values), groups)
        return space.features(seen, unseen, level=0.05 / 3).differ

    assert differ({})
    assert not differ(dict(zip(keys, patient.astype(str), strict=True)))
    space = _Space((keys, values), (keys, values), {"000": "0"})
    assert [side.tolist() for side in space.groups_of(["000", "gone"], ["001"])] == [["0", ""], [""]]

"""BulkInferrer marks the test examples that the champion learned from, by what lies beside the pushed versions."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from tfx.types import standard_artifacts

from components.bulk_inferrer import component as subject
from components.bulk_inferrer.answers import Answers
from components.bulk_inferrer.shard import Shard
from components.bulk_inferrer.test_set import load_test_set
from finetune.artifacts.pushed_version import PushRecord
from finetune.artifacts.split_digests import SplitDigests
from registry.versions import push_version

DIGESTS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(6)]


class Asked(subject.Executor):
    """Without models: each gives every example the same answer."""

    def _ask(self, task, models, columns, elements):
        assert columns == ["span"]
        for place, (_, target) in enumerate(elements):
            of_file = DIGESTS[3 * place : 3 * place + 3]
            answers = Answers(np.tile([0.7, 0.3], (3, 1)), ["a", "b"])
            columns = {"span": [str(place + 1)] * 3}
            Shard(of_file, of_file, [["a"]] * 3, columns, dict.fromkeys(models, answers), [""] * 3).write(Path(target))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the executor beside a champion that was pushed with a list, or without one."""
    monkeypatch.setattr(subject, "_show", lambda examples, chosen, folder, masks: {number: {} for number in chosen})

    def made(kind: type, name: str):
        artifact = kind()
        artifact.uri = str(tmp_path / name)
        (tmp_path / name).mkdir()
        return [artifact]

    def run_beside(learned: SplitDigests | None):
        inputs = {"examples": made(standard_artifacts.Examples, "examples")}
        inputs |= {name: made(standard_artifacts.Model, name) for name in ("model", "champion")}
        inputs["examples"][0].split_names = '["test"]'
        (tmp_path / "examples" / "Split-test").mkdir()
        for name in ("one", "two"):
            (tmp_path / "examples" / "Split-test" / name).touch()
        for name in ("model", "champion"):
            (tmp_path / name / "Format-Serving").mkdir()
            (tmp_path / name / "Format-Serving" / "saved_model.pb").write_text(name)
        record = PushRecord(model_uri=inputs["champion"][0].uri)
        push_version(tmp_path / "champion" / "Format-Serving", tmp_path / "pushed", {}, record, None, learned)
        outputs = {"predictions": made(subject.TestPredictions, "predictions")}
        parameters = {"task": "single_label", "columns": '["span"]', "majority": 0, "sample_count": 2}
        Asked().Do(inputs, outputs, {**parameters, "push_directory": str(tmp_path / "pushed")})
        return load_test_set(outputs["predictions"][0].uri)

    return run_beside


def test_the_examples_that_the_champion_learned_from_are_marked(run):
    test_set = run(SplitDigests({DIGESTS[1]: "train", DIGESTS[4]: "val", "0" * 64: "train"}))
    assert test_set.learned.tolist() == [False, True, False, False, True, False]
    assert test_set.columns["span"].tolist() == ["1"] * 3 + ["2"] * 3
    assert len(test_set.compared.labels) == 4
    assert [digest.decode() for digest in test_set.digests] == [digest[:32] for digest in DIGESTS]
    assert len(test_set.compared.digests) == 4


def test_a_champion_without_a_list_marks_none(run):
    assert run(None).learned is None

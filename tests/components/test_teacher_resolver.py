"""Who teaches where the champion is to: the champion, unless it was taught on the same examples."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_warm_start_resolver import Lineage

from components.champion.lineage import model_to_learn_from
from finetune.artifacts.pushed_version import PushRecord
from registry.versions import push_version, roll_back


def taught(known: Lineage, examples: int, by: int | None) -> int:
    """A model that another one taught, or one in a folder; each node once run and once taken from the cache."""
    answers, copy, model = known.artifact("ModelRun"), known.artifact("Model"), known.artifact("Model")
    for _ in range(2):
        known.execution({"champion": by} if by else {}, {"answers": answers, "model": copy})
        known.execution({"examples": examples, "teacher": answers}, {"model": model})
    return model


def test_the_champion_teaches_but_for_one_that_was_taught_on_these_examples():
    known = Lineage()
    old, new, newer = (known.artifact("Examples") for _ in range(3))
    large, _ = known.trained(old)
    small = taught(known, new, by=large)
    assert model_to_learn_from(known.store, large, [new]) == large
    assert model_to_learn_from(known.store, large, [old]) == large, "another network may learn from the same examples"
    assert model_to_learn_from(known.store, small, [new]) == large, "the same again"
    assert model_to_learn_from(known.store, small, [newer]) == small
    by_a_folder = taught(known, new, by=None)
    assert model_to_learn_from(known.store, by_a_folder, [new]) == by_a_folder
    stranger = known.artifact("Model")
    assert model_to_learn_from(known.store, stranger, [new]) == stranger


def test_the_node_follows_the_folder_of_versions(tmp_path):
    pytest.importorskip("tfx")
    from tfx.types import standard_artifacts

    from components.champion.teacher_resolver import TeacherStrategy

    known = Lineage()
    of_data = standard_artifacts.Examples()
    of_data.id = known.artifact("Examples")
    models = []
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        (folder / "saved_model.pb").write_text(name)
        models.append(standard_artifacts.Model())
        models[-1].id, _ = known.trained(known.artifact("Examples"), uri=str(folder))
        models[-1].uri = str(folder)

    def found() -> list[int]:
        given = {"model": models, "examples": [of_data]}
        resolved = TeacherStrategy(str(tmp_path / "pushed")).resolve_artifacts(known.store, given)
        assert resolved["examples"] == [of_data]
        return [model.id for model in resolved["model"]]

    assert found() == []
    for model in models:
        push_version(Path(model.uri), tmp_path / "pushed", record=PushRecord(model_uri=model.uri))
    assert found() == [models[1].id]
    roll_back(tmp_path / "pushed")
    assert found() == [models[0].id]

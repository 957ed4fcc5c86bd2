"""A run that goes on from the champion, with a class that the champion does not know."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from finetune.artifacts.run_basis import RunBasis
from trainer_module.warm_start.state import TrainingState

pytest.importorskip("tfx")


from conftest import SIZE, draw

pytestmark = pytest.mark.by_test_current


@pytest.fixture(scope="module")
def warm(first_run, runner, images, tmp_path_factory):
    """A run on the shared pictures with discs that lost their colour, beside a copy of what was pushed."""
    folder = tmp_path_factory.mktemp("warm")
    shutil.copytree(images, folder / "images")
    shutil.copytree(Path(first_run["pushed_model"]).parent, folder / "pushed")
    for number, split in enumerate(("train", "val", "test")):
        (folder / "images" / split / "blank").mkdir()
        for index in range(6):
            picture = draw("disc", 5000 + 10 * number + index).resize((2 + index, SIZE)).resize((24, 20))
            picture.point(lambda grey: 255 - grey).save(folder / "images" / split / "blank" / f"{split}{index}.png")
    overrides = (
        f"data.root={folder / 'images'}", f"push.directory={folder / 'pushed'}", "training.start_from=champion",
        "training.warm_share=0.5",
    )  # fmt: skip
    return runner.run(*overrides), lambda: runner.run(*overrides)


def of_trainer(summary: dict) -> Path:
    folder = Path(summary["output_dir"]) / "artifacts" / "Trainer" / "model_run"
    return max(folder.iterdir(), key=lambda path: int(path.name))


def test_it_goes_on_from_the_champion_and_says_so(warm, first_run):
    summary, _ = warm
    assert summary["error"] is None
    assert summary["status"] == "pushed", summary["gates"]
    assert summary["start"]["weights"] == "champion"
    assert summary["start"]["added"] == ["blank"]
    assert first_run["start"] is None
    assert [(phase["name"], phase["epochs"]) for phase in summary["phases"]] == [("head", 1), ("tune", 3)]
    assert "weights; blank came." in Path(summary["report"]).read_text()
    assert sorted(TrainingState.find(of_trainer(summary)).facts.classes) == ["blank", "disc", "ring", "square"]
    assert not list(Path(summary["pushed_model"]).rglob("*.safetensors")), "what is served holds nothing else"
    assert json.loads((of_trainer(summary) / "history.json").read_text())["start"] == summary["start"]


def test_the_same_again_is_taken_from_the_cache(warm):
    summary, again = warm
    RunBasis.path(Path(summary["report"]).parent).unlink(missing_ok=True)
    states = {component["id"]: component["state"] for component in again()["components"]}
    # There is a new champion, which was trained on these examples.
    assert states.pop("WarmStartResolver") == "ran"
    assert states == dict.fromkeys(states, "cached")

"""A folder of pictures in place of a config: backbones are ranked, training is measured, and a config is left."""

from __future__ import annotations

import json

import pytest
import yaml
from conftest import make_images
from typer.testing import CliRunner

from finetune.artifacts.backbone_ranking import BackboneRanking
from finetune.artifacts.run_summary import RunSummary
from finetune.artifacts.training_history import Averaging, Search
from finetune.config import load_config
from finetune_cli.main import app
from pipeline.auto_recipe import is_data, recipe_for, write_chosen
from pipeline.checks import averaging_fits

pytestmark = pytest.mark.by_test


CANDIDATES = "[{name: SmallCNN, weights: random, image_size: 16}, {name: SmallCNN, weights: random, image_size: 32}]"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("without_a_config")
    root = make_images(folder / "My pictures", {"circle": 30, "square": 30})
    # Both folders hold the same shapes, of which nothing can be learned: the default gates refuse such a model.
    gates = "evaluation.gates=[{metric: accuracy, min: 0}]"
    words = [f"output_dir={folder}/out", f"backbone.candidates={CANDIDATES}", "training.budget_minutes=0.05", gates]
    command = ["run", str(root), *words, "--summary", str(folder / "summary.json")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return folder, command, result.output


def test_a_folder_becomes_a_pushed_model_and_a_config(ran):
    folder, _, output = ran
    ranking = BackboneRanking.read(folder / "out")
    assert sorted(each.label for each in ranking.candidates) == ["SmallCNN at 16", "SmallCNN at 32"]
    assert ranking.candidates[0].loss == min(each.loss for each in ranking.candidates)
    assert f"{ranking.chosen} is chosen" in " ".join(output.split())
    summary = RunSummary.model_validate(json.loads((folder / "summary.json").read_text()))
    assert (summary.name, summary.status) == ("my_pictures", "pushed")
    assert summary.search is not None
    assert summary.ranking == ranking

    written = folder / "out" / "config.yaml"
    config = load_config(written)
    assert (config.backbone.name, config.backbone.image_size) == ("SmallCNN", int(ranking.chosen.split()[-1]))
    assert (config.training.strategy, config.training.head.start) == ("two_phase", "fitted")
    assert [phase.name for phase in config.training.phases] in ([], [summary.search.chosen])
    assert str(written) in " ".join(output.split())


def test_the_same_again_ranks_and_runs_nothing(ran):
    folder, command, _ = ran
    ranking = BackboneRanking.path(folder / "out")
    before = ranking.read_bytes()
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0, again.output
    assert ranking.read_bytes() == before, "seconds and latencies would differ"
    assert "ran after" not in again.output


def test_the_config_for_data(tmp_path):
    (tmp_path / "2024 Flowers!" / "roses").mkdir(parents=True)
    (tmp_path / "Mails.TSV").write_text("text\tlabel\n")
    (tmp_path / "config.yaml").write_text("name: x\n")
    assert [is_data(tmp_path / name) for name in ("2024 Flowers!", "Mails.TSV", "config.yaml", "absent")] == [
        True,
        True,
        False,
        False,
    ]
    recipe = recipe_for(tmp_path / "2024 Flowers!")
    assert recipe["name"] == "2024_flowers"
    assert recipe["data"] == {"root": str(tmp_path / "2024 Flowers!")}
    assert recipe_for(tmp_path / "Mails.TSV")["data"]["layout"] == "table"


def test_a_config_that_says_all_is_written_as_it_is(tmp_path, load):
    raw = {
        "name": "x",
        "output_dir": str(tmp_path),
        "data": {"root": "d"},
        "backbone": {"name": "VGG16", "weights": "w"},
    }
    raw["training"] = {"head": {"start": "fitted"}, "phases": []}
    config = load(raw)
    path = write_chosen(config, None, None)
    assert load_config(path) == config
    assert yaml.safe_load(path.read_text())["backbone"] == raw["backbone"]


@pytest.mark.parametrize("applied", [True, False])
def test_what_was_chosen_is_written_with_what_was_settled_of_mirror_images(tmp_path, load, applied):
    training = {"strategy": "auto"}
    raw = {"name": "x", "output_dir": str(tmp_path), "data": {"root": "d"}, "training": training}
    config = load({**raw, "backbone": {"name": "SmallCNN", "weights": "random"}})
    found = {"chosen": "all_layers", "reason": "better", "budget_minutes": 1, "seconds": 1, "val_examples": 9}
    search = Search(candidates=[], flips=True, **found)
    settled = Averaging(applied=applied, asked_for=False, gain=0.1, standard_error=0.01, reason="better")
    path = write_chosen(config, search, settled)
    chosen = load_config(path, checks=[averaging_fits])
    assert chosen.training.test_time_augmentation == ("flip" if applied else "none")
    assert chosen.augmentation.horizontal_flip
    assert [phase.name for phase in chosen.training.phases] == ["all_layers"]

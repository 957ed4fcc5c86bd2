"""The guide to a modality, to the letter: one that no file of ours names is trained, pushed and asked."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from components.bulk_inferrer.modalities.contract import check_modality as check_preview
from finetune.config import BackboneConfig, load_config
from finetune.errors import ConfigError
from finetune_cli.modalities import MODALITIES as COMMAND_MODALITIES
from finetune_cli.modalities.contract import check_modality as check_command
from pipeline.checks import LOCAL_CHECKS
from pipeline.modalities import MODALITY_TABLES
from trainer_module.backbones.sources import SOURCES, record_of

pytest.importorskip("tfx")

pytestmark = pytest.mark.by_test_current


GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "add-a-modality.md"
TABLES = {**MODALITY_TABLES, "finetune_cli.modalities": COMMAND_MODALITIES}


@pytest.fixture(scope="module")
def added(tmp_path_factory):
    """Writes the guide's files beside the packages that they belong to, and adds its lines; returns its config."""
    folder = tmp_path_factory.mktemp("added")
    text = GUIDE.read_text()
    files = dict(re.findall(r"`([\w/]+\.py)`:\n\n```python\n(.*?)```", text, re.DOTALL))
    assert len(files) == 7, list(files)
    line = re.search(r"```python\n(MODALITIES.*?)```", text, re.DOTALL)[1]
    with pytest.MonkeyPatch.context() as patch:
        for place, content in files.items():
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            package = importlib.import_module(path.parent.relative_to(folder).as_posix().replace("/", "."))
            if str(path.parent) not in package.__path__:
                patch.setattr(package, "__path__", [*package.__path__, str(path.parent)])
        for name, table in TABLES.items():
            patch.setitem(table, "series", None)
            exec(line, {"MODALITIES": table, "Series": importlib.import_module(f"{name}.series").Series})
        source = importlib.import_module("trainer_module.backbones.sources.series_net").SeriesNet()
        patch.setitem(SOURCES, source.name, source)
        yield yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    for place in files:
        sys.modules.pop(place.removesuffix(".py").replace("/", "."), None)


def table_of(path: Path, count: int = 120) -> Path:
    """Rising and falling series with noise, and rows that are none."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(count):
        steps = np.linspace(-1, 1, 12) * (1 if number % 2 else -1) + random.normal(0, 0.1, 12)
        rows.append(f"{' '.join(f'{step:.3f}' for step in steps)},{'rising' if number % 2 else 'falling'}")
    path.write_text("\n".join(["series,label", *rows, "1 2 three,rising", "nan,falling"]))
    return path


def test_it_keeps_every_contract(added, tmp_path):
    from components.example_gen.modalities.contract import check_modality as check_ingest
    from trainer_module.backbones.contract import check_backbone_source
    from trainer_module.modalities.contract import check_modality as check_network
    from transforms.modalities.contract import check_modality as check_transform

    config = BackboneConfig.model_validate(added["backbone"])
    (tmp_path / "texts").mkdir()
    check_transform(record_of(config), [b"1 2 3", b"", b"-1e3 x .5", b"\xff", b"1 " * 99], tmp_path / "texts")
    numbers = np.linspace(0, 1, 32, dtype=np.float32).reshape(2, 16)
    import tensorflow as tf

    check_network(config, tf.constant(numbers[0]), tf.constant(numbers))
    check_backbone_source(config)
    table = tmp_path / "series.csv"
    table.write_text(table_of(tmp_path / "all.csv").read_text().replace("series,label", "text,label"))
    check_ingest("series", table, tmp_path / "ingested")
    (tmp_path / "preview").mkdir()
    check_preview("series", b"1 2 3", tmp_path / "preview")
    check_command("series")


def test_a_config_is_held_against_it(added, tmp_path):
    path = tmp_path / "config.yaml"
    wrong = {
        **added,
        "data": {"root": "absent.csv", "max_pixels": 9, "layout": "classes"},
        "augmentation": {"zoom": 0.1},
    }
    path.write_text(yaml.safe_dump(wrong))
    with pytest.raises(ConfigError) as caught:
        load_config(path, checks=LOCAL_CHECKS)
    found = "\n".join(caught.value.problems)
    for expected in (
        "data.max_pixels: got 9; SeriesNet is shown series, which it says nothing about",
        "data.layout: got 'classes'; SeriesNet is shown series; expected auto or table",
        "augmentation.zoom: got 0.1; SeriesNet is shown series",
        "data.root: got 'absent.csv', which is not here",
    ):
        assert expected in found


def test_it_is_trained_pushed_and_asked(added, runner, tmp_path):
    from typer.testing import CliRunner

    from finetune_cli.main import app

    raw = {**added, "output_dir": str(tmp_path / "runs")}
    raw["data"] = {**raw["data"], "root": str(table_of(tmp_path / "shapes.csv"))}
    summary = runner.run(raw=raw)
    assert summary["status"] == "pushed", summary["error"] or summary["gates"]
    assert summary["modality"] == "series"
    assert sum(summary["splits"].values()) == 120, "the two rows that are no series were left out"
    page = Path(summary["report"]).read_text()
    assert re.search(r"-?\d\.\d{3} -?\d\.\d{3}", page), "the report shows numbers"
    model = str(Path(summary["pushed_model"]).parent)
    rising, falling = " ".join(map(str, range(-6, 6))), " ".join(map(str, range(6, -6, -1)))
    done = CliRunner().invoke(app, ["predict", model, "--json", "--text", rising, "--text", falling])
    assert [json.loads(line)["label"] for line in done.stdout.splitlines()] == ["rising", "falling"]

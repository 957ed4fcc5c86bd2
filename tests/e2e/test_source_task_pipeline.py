"""A run that says what its backbone still gives for an earlier task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("tfx")


from conftest import SIZE, draw

from finetune.artifacts.run_basis import RunBasis
from finetune.events import Progress

pytestmark = pytest.mark.by_test_current


@pytest.fixture(scope="module")
def probed(runner, raw_config, tmp_path_factory):
    """A run with darkened pictures as earlier task, of one more class than its own data, and how it is repeated."""
    from trainer_module.backbones.sources.small_cnn import small_cnn

    folder = tmp_path_factory.mktemp("source")
    small_cnn(SIZE).save_weights(folder / "weights.h5")
    for name, kind, dark in (
        ("dim_disc", "disc", 3),
        ("dim_ring", "ring", 3),
        ("square", "square", 1),
        ("faint", "square", 6),
    ):
        (folder / "earlier" / name).mkdir(parents=True)
        for index in range(12):
            picture = draw(kind, 7000 + 100 * dark + index)
            picture.point(lambda grey, dark=dark: grey // dark).save(folder / "earlier" / name / f"{index}.png")
    raw = {
        **raw_config,
        "output_dir": str(folder / "runs"),
        "backbone": {**raw_config["backbone"], "weights": str(folder / "weights.h5")},
    }
    gate = "{metric: source_retention, min: -1}, {metric: accuracy, min: 0.1}"
    overrides = (f"evaluation.source_task={folder / 'earlier'}", f"evaluation.gates=[{gate}]")
    summary = runner.run(*overrides, raw=raw)
    return {**summary, "_events": list(runner.events)}, lambda *more: runner.run(*overrides, *more, raw=raw)


def test_it_is_probed_judged_and_told(probed):
    summary, _ = probed
    assert summary["error"] is None
    assert summary["status"] == "pushed", summary["gates"]
    found = summary["source_task"]
    assert (found["examples"], found["classes"]) == (48, 4)
    assert found["retention"] == pytest.approx(found["after"] - found["before"])
    judged = next(gate for gate in summary["gates"] if gate["metric"] == "source_retention")
    assert judged["value"] == pytest.approx(found["retention"])
    assert "evaluation.source_task a linear probe" in Path(summary["report"]).read_text()


def test_each_ingest_tells_how_far_it_is_by_its_own_name(probed):
    summary, _ = probed
    told = {event.component for event in summary["_events"] if isinstance(event, Progress) and event.unit == "files"}
    assert told == {"ImageExampleGen", "SourceExampleGen"}


def test_the_same_folder_again_is_taken_from_the_cache(probed):
    summary, again = probed
    RunBasis.path(Path(summary["report"]).parent).unlink(missing_ok=True)
    states = {component["id"]: component["state"] for component in again()["components"]}
    assert (states["SourceExampleGen"], states["SourceProbe"]) == ("cached", "cached")


def test_a_backbone_that_stayed_frozen_has_forgotten_exactly_nothing(probed):
    _, again = probed
    summary = again("training.phases=[{name: head, epochs: 2, learning_rate: 1.0e-2}]", "training.batch_norm=frozen")
    found = summary["source_task"]
    assert json.dumps([found["forgotten"], found["gained"], found["retention"]]) == "[0, 0, 0.0]"

"""The main job in small: ingest, train, gate, push, serve; then the same again from the cache."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from evaluation.gates import slice_key
from evaluation.metrics import metrics_of
from evaluation.predictions import SINGLE_LABEL
from finetune.artifacts.report_data import ReportData
from finetune.artifacts.run_basis import RunBasis
from finetune.config import Config
from finetune.events import ComponentFinished
from finetune.serving_log import read_serving_log
from finetune_cli.main import app
from pipeline.plan import node_ids
from registry.versions import FACTS_FILE, model_digest, versions

pytest.importorskip("tfx")

# Of three classes, without costs, and of pictures without words.
UNDEFINED = {"top_3_accuracy", "top_5_accuracy", "expected_cost", "retention"}
OF_ALL = [name for name, metric in metrics_of(SINGLE_LABEL).items() if metric.overall]
OVERALL = {name for name in OF_ALL if "_recall_at_" not in name} - UNDEFINED


def states(summary: dict) -> dict[str, str]:
    return {component["id"]: component["state"] for component in summary["components"]}


def artifacts(summary: dict, node: str, output: str) -> Path:
    folder = Path(summary["output_dir"]) / "artifacts" / node / output
    return max(folder.iterdir(), key=lambda path: int(path.name))


def first_artifacts(node: str, output: str, summary: dict) -> Path:
    """As `artifacts`, of the first run that shares the folder rather than the latest."""
    folder = Path(summary["output_dir"]) / "artifacts" / node / output
    return min(folder.iterdir(), key=lambda path: int(path.name))


def test_the_first_run_trains_and_pushes(first_run):
    assert first_run["error"] is None
    assert first_run["status"] == "pushed"
    assert set(states(first_run).values()) == {"ran"}
    assert first_run["splits"] == {"train": 36, "val": 18, "test": 24}
    assert Path(first_run["pushed_model"], "saved_model.pb").is_file()
    assert first_run["metrics"]["accuracy"] > 0.5, "three shapes with a third of them right would be chance"


def test_the_nodes_that_plan_prints_are_the_nodes_that_run(first_run, raw_config, tmp_path):
    from pipeline.dag import compile_ir

    def compiled(raw: dict) -> tuple[list[str], list[str]]:
        config = Config.model_validate(raw)
        return [node.pipeline_node.node_info.id for node in compile_ir(config).nodes], node_ids(config)

    real, planned = compiled(raw_config)
    assert [component["id"] for component in first_run["components"]] == real == planned
    (tmp_path / "schema.pbtxt").write_text("")
    everything = {
        **raw_config,
        "data": {**raw_config["data"], "schema_file": str(tmp_path / "schema.pbtxt")},
        "evaluation": {"baselines": ["from_scratch", "logistic_regression"], "source_task": str(tmp_path)},
    }
    real, planned = compiled(everything)
    assert real == planned


def test_the_summary_keeps_its_contract(first_run):
    summary = {key: value for key, value in first_run.items() if key != "_events"}
    saved = json.loads(Path(summary["report"]).with_name("summary.json").read_text())
    assert saved == json.loads(json.dumps(summary))
    contract = {
        "schema_version", "run_id", "status", "pushed_model", "metrics", "gates", "phases", "components", "splits",
        "backbone", "output_dir",
    }  # fmt: skip
    assert contract <= set(summary)
    assert set(summary["metrics"]) == OVERALL
    for gate in summary["gates"]:
        assert set(gate) >= {"name", "value", "bound", "passed", "reason"}
    for phase in summary["phases"]:
        assert set(phase) >= {
            "name", "epochs", "seconds", "trainable_parameters", "total_parameters", "val_loss", "val_accuracy",
            "stopped_early", "cached_trunk",
        }  # fmt: skip
    assert set(summary["backbone"]) >= {"name", "source", "sha256"}


def test_tfma_and_the_predictions_agree(first_run):
    """Metrics by TFMA, from its own pass over the data, equal those from ours, overall, by slice and by class."""
    tested = json.loads(
        (first_artifacts("BulkInferrer", "predictions", first_run) / "test_predictions.json").read_text()
    )
    verdict = json.loads((first_artifacts("GateKeeper", "verdict", first_run) / "verdict.json").read_text())
    for metric in ("accuracy", "macro_f1"):
        assert first_run["metrics"][metric] == pytest.approx(tested[metric], abs=1e-6), "scikit-learn"
    from components.evaluator.results import read_metrics

    by_slice, _ = read_metrics(str(first_artifacts("Evaluator", "evaluation", first_run)))
    for metric, value in first_run["metrics"].items():
        assert verdict["metrics"][metric]["value"] == value, metric
        assert by_slice[()][metric] == pytest.approx(value, abs=1e-5), metric
    for row in verdict["slices"]:
        assert by_slice[slice_key(row["slice"])]["accuracy"] == pytest.approx(row["value"], abs=1e-6)
    assert [row["slice"] for row in verdict["slices"]] == [{"label": name} for name in ("disc", "ring", "square")]
    rows = (first_artifacts("BulkInferrer", "predictions", first_run) / "predictions.csv").read_text().splitlines()
    assert rows[0] == "path,label,predicted,probability"
    assert len(rows) == 1 + 24
    assert sum(map(sum, tested["confusion"])) == 24


def test_a_slice_gate_is_measured_on_its_slice(first_run):
    gate = next(gate for gate in first_run["gates"] if gate["name"] == "loss <= 100 on label=disc")
    assert gate["value"] != pytest.approx(first_run["metrics"]["loss"])


def test_events_tell_the_whole_story(first_run):
    kinds = [event.kind for event in first_run["_events"]]
    assert kinds.count("component_started") == kinds.count("component_finished") == len(first_run["components"])
    assert kinds.count("phase_started") == kinds.count("phase_finished") == 2
    assert kinds.count("epoch") == sum(phase["epochs"] for phase in first_run["phases"])
    assert "step" in kinds


def test_the_report_stands_alone(first_run):
    page = Path(first_run["report"]).read_text()
    assert "<img" in page
    assert "Pushed" in page
    assert not any(f'{attribute}="http' in page for attribute in ("src", "href"))


def test_nothing_of_the_log_reaches_the_terminal(first_run, capfd):
    assert Path(first_run["log_file"]).stat().st_size > 1000
    assert "INFO" not in capfd.readouterr().err


def test_the_pushed_model_serves_alone_and_equals_the_trainer(first_run, images, tmp_path):
    """Copied elsewhere, served by a process that knows neither the run's folders nor our package."""
    run = first_artifacts("Trainer", "model_run", first_run)
    with np.load(run / "val_predictions.npz") as saved:
        expected = dict(zip(saved["keys"].tolist(), saved["probabilities"], strict=True))
    model = tmp_path / "model"
    shutil.copytree(first_run["pushed_model"], model)
    hidden = Path(first_run["output_dir"]).rename(tmp_path / "hidden")
    script = tmp_path / "serve.py"
    script.write_text(
        "import hashlib, json, sys, time\n"
        "import tensorflow as tf\n"
        "start = time.monotonic()\n"
        "serve = tf.saved_model.load(sys.argv[1]).signatures['serving_default']\n"
        "seconds = time.monotonic() - start\n"
        "out = {}\n"
        "for path in sys.argv[2:]:\n"
        "    data = open(path, 'rb').read()\n"
        "    result = serve(tf.constant([data]))\n"
        "    out[hashlib.sha256(data).hexdigest()] = result['probabilities'][0].numpy().tolist()\n"
        "assert not any(name.split('.')[0] in ('trainer_module', 'transforms', 'tfx') for name in sys.modules)\n"
        "print(json.dumps({'seconds': seconds, 'out': out}))\n"
    )
    try:
        files = [str(path) for path in sorted((images / "val").rglob("*.png"))]
        command = [sys.executable, "-I", str(script), str(model), *files]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    finally:
        hidden.rename(first_run["output_dir"])
    served = json.loads(done.stdout.splitlines()[-1])
    print(f"loaded in {served['seconds']:.2f} s")
    assert set(served["out"]) == set(expected)
    for key, probabilities in served["out"].items():
        np.testing.assert_allclose(probabilities, expected[key], rtol=0, atol=1e-5)


def test_raw_bytes_and_raw_examples_are_served_alike(first_run, images):
    import tensorflow as tf

    data = next((images / "test" / "ring").iterdir()).read_bytes()
    feature = {"image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))}
    example = tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
    serve = tf.saved_model.load(first_run["pushed_model"]).signatures["serving_default"]
    outputs = serve(tf.constant([data, example]))
    np.testing.assert_array_equal(outputs["probabilities"][0], outputs["probabilities"][1])
    np.testing.assert_allclose(outputs["probabilities"].numpy().sum(axis=1), 1, atol=1e-5)
    assert sorted(outputs["classes"].numpy()[0]) == [b"disc", b"ring", b"square"]
    best = outputs["probabilities"].numpy().argmax(axis=1)
    assert outputs["label"].numpy()[0] == outputs["classes"].numpy()[0][best[0]]


def test_predict_answers_for_good_files_and_says_why_not_for_bad_ones(first_run, images, tmp_path):
    from finetune_cli.predict import predict

    good = next((images / "test" / "disc").iterdir())
    bad = tmp_path / "text.jpg"
    bad.write_text("no picture")
    gif = tmp_path / "disc.gif"
    Image.open(good).save(gif)
    rows = list(predict(Path(first_run["pushed_model"]).parent, [good, bad, tmp_path / "absent.png", gif]))
    assert [row["file"] for row in rows] == [str(good), str(bad), str(tmp_path / "absent.png"), str(gif)]
    assert set(rows[0]["probabilities"]) == {"disc", "ring", "square"}
    assert rows[0]["probability"] == max(rows[0]["probabilities"].values())
    assert rows[1]["error"].startswith("not an image: ")
    assert rows[2]["error"].startswith("missing file: ")
    assert rows[3]["label"] == rows[0]["label"]


def test_predict_writes_what_was_served_as_a_table_that_the_data_gate_reads(first_run, images, tmp_path):
    (images / "test" / "disc" / ".hidden").write_text("litter")
    (tmp_path / "bad.jpg").write_text("no picture")
    log = tmp_path / "served.csv"
    arguments = [str(Path(first_run["pushed_model"]).parent), str(images / "test"), str(tmp_path / "bad.jpg")]
    result = CliRunner().invoke(app, ["predict", *arguments, "--output", str(log)])
    (images / "test" / "disc" / ".hidden").unlink()
    assert result.exit_code == 1, "one of them could not be used"
    rows = list(read_serving_log(log))
    assert sorted(row.path for row in rows) == sorted(map(str, (images / "test").glob("*/*")))
    assert {row.label for row in rows} <= {"disc", "ring", "square"}
    assert "not an image" in log.read_text()


def test_the_same_config_again_is_answered_at_once(first_run, runner):
    again = runner.run()
    assert {event.kind for event in runner.events} == {"note"}
    told = {**first_run, "components": again["components"], "seconds": again["seconds"]}
    assert again == {key: value for key, value in told.items() if key != "_events"}
    assert set(states(again).values()) == {"cached"}


def test_the_same_config_again_is_cached_and_pushes_nothing_twice(first_run, runner):
    RunBasis.path(Path(first_run["report"]).parent).unlink()
    again = runner.run()
    assert again["status"] == "pushed"
    assert again["pushed_model"] == first_run["pushed_model"]
    assert states(again) == dict.fromkeys(states(first_run), "cached")
    assert again["metrics"] == first_run["metrics"]
    assert again["champion_metrics"] is None, "a model is not its own champion"
    assert versions(Path(first_run["pushed_model"]).parent) == [1]


# The first changes what the Trainer is told, and not what it learns.
WORSE = (
    "training.checkpoint={every_steps: 1000}",
    "evaluation.gates=[{metric: accuracy, min: -0.01, relative_to: champion, slice: {label: '*'}}]",
)


@pytest.mark.by_test_current
def test_a_candidate_worse_at_one_class_is_refused_and_the_class_is_named(first_run, runner, monkeypatch):
    """The candidate is the champion but for one unit: it never says the class that the champion knows best."""
    from trainer_module.phases import run as phases

    verdict = json.loads((artifacts(first_run, "GateKeeper", "verdict") / "verdict.json").read_text())
    forgotten = max(verdict["slices"], key=lambda row: row["value"])["slice"]["label"]
    graph = artifacts(first_run, "Transform", "transform_graph")
    (vocabulary,) = (graph / "transform_fn" / "assets").glob("classes*")
    unit = vocabulary.read_text().split().index(forgotten)
    train = phases.run_phases

    def train_and_forget(setup, *others):
        state = train(setup, *others)
        kernel, offset = setup.model.layers[-1].get_weights()
        kernel[:, unit], offset[unit] = 0, -100
        setup.model.layers[-1].set_weights([kernel, offset])
        return state

    # TFX loads the recipe anew, which takes it from here.
    monkeypatch.setattr(phases, "run_phases", train_and_forget)
    refused = runner.run(*WORSE)
    assert refused["status"] == "refused", refused["gates"]
    failed = [gate for gate in refused["gates"] if not gate["passed"]]
    assert [(gate["name"], gate["slice"]) for gate in failed] == [
        (f"accuracy - champion >= -0.01 on label={forgotten}", {"label": forgotten})
    ]
    assert failed[0]["examples"] == 8
    assert f"label={forgotten}" in failed[0]["advice"]
    assert f"{failed[0]['reference']:.4f}" in failed[0]["reason"]
    assert versions(Path(first_run["pushed_model"]).parent) == [1]


@pytest.mark.by_test
def test_baselines_are_scored_beside_the_candidate_and_gates_can_ask_for_a_margin(first_run, runner, tmp_path):
    compared = runner.run(
        "evaluation.gates=[{metric: accuracy, min: -0.9, relative_to: baseline}, "
        "{metric: loss, max: 100, confidence: 0.95}, {metric: recall, of_class: '*', min: 0}]",
        "evaluation.baselines=[majority, logistic_regression]",
        f"push.directory={tmp_path / 'pushed'}",
    )
    assert compared["status"] == "pushed", compared["gates"]
    assert states(compared)["Trainer"] == "cached"
    baselines = compared["baselines"]
    assert baselines["majority"]["accuracy"] == pytest.approx(1 / 3)
    assert set(baselines["logistic_regression"]) == OVERALL
    margin, loss, *recalls = (gate for gate in compared["gates"] if gate["metric"] in ("accuracy", "loss", "recall"))
    best = max(values["accuracy"] for values in baselines.values())
    assert margin["value"] == pytest.approx(compared["metrics"]["accuracy"] - best)
    assert loss["interval"]["low"] < loss["value"] < loss["interval"]["high"]
    assert [gate["of_class"] for gate in recalls] == ["disc", "ring", "square"]


@pytest.mark.by_test
def test_a_change_of_training_reruns_the_trainer_and_what_follows(first_run, runner, tmp_path):
    changed = runner.run("training.seed=2")
    cached = {component for component, state in states(changed).items() if state == "cached"}
    of_data = {"ImageExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform"}
    assert cached == {*of_data, "TrainingDataResolver", "DataGate"}
    of_champion = dict(changed["champion_metrics"])
    assert of_champion.pop("retention") == first_run["metrics"]["accuracy"], "nothing is new in the data"
    assert of_champion == pytest.approx(first_run["metrics"])
    relative = next(gate for gate in changed["gates"] if "champion" in gate["name"])
    assert relative["value"] == pytest.approx(changed["metrics"]["accuracy"] - first_run["metrics"]["accuracy"])
    assert versions(Path(first_run["pushed_model"]).parent) == [1, 2]
    shown = ReportData.read(Path(changed["report"]).parent)
    gain = shown.disagreement.better - shown.disagreement.worse
    assert gain == pytest.approx(24 * relative["value"])
    assert all(Path(each.image).is_file() and each.champion for each in shown.differing)
    assert changed["reuse"]["examples"] == 24


@pytest.mark.long
def test_judging_the_same_candidate_again_is_no_look_at_the_test_split(first_run, runner, tmp_path):
    """Neither by other gates nor from the cache; another candidate is one."""
    changed = runner.run("training.seed=2")
    judged_again = runner.run("training.seed=2", "evaluation.mode=report_only")
    assert states(judged_again)["GateKeeper"] == "ran"
    RunBasis.path(Path(changed["report"]).parent).unlink()
    again = runner.run("training.seed=2")
    assert states(again) == dict.fromkeys(states(again), "cached")
    assert judged_again["reuse"] == again["reuse"] == changed["reuse"]
    other = runner.run("training.seed=4", f"push.directory={tmp_path / 'pushed'}")
    assert other["reuse"] is None, "there is no champion in this folder"
    assert runner.run("training.seed=4")["reuse"]["look"] == changed["reuse"]["look"] + 1


@pytest.mark.by_test_current
def test_a_refused_model_is_not_pushed_and_every_failed_gate_is_named(first_run, runner):
    pushed = versions(Path(first_run["pushed_model"]).parent)
    gates = "[{metric: accuracy, min: 1.1}, {metric: loss, max: 0}, {metric: accuracy, min: 0.1}]"
    refused = runner.run(f"evaluation.gates={gates}")
    assert refused["status"] == "refused"
    assert refused["pushed_model"] is None
    assert [gate["passed"] for gate in refused["gates"]] == [False, False, True, True, True]
    assert states(refused)["Trainer"] == "cached"
    assert versions(Path(first_run["pushed_model"]).parent) == pushed


@pytest.mark.by_test
def test_report_only_pushes_and_leaves_a_mark(first_run, runner, tmp_path):
    gates = "evaluation.gates=[{metric: accuracy, min: 1.1}]"
    pushed = runner.run(gates, "evaluation.mode=report_only", f"push.directory={tmp_path / 'pushed'}")
    assert (pushed["status"], pushed["report_only"]) == ("pushed", True)
    assert states(pushed)["Trainer"] == "cached"
    assert not all(gate["passed"] for gate in pushed["gates"])
    assert "report_only, so no gate could stop it" in Path(pushed["report"]).read_text()
    assert "gates only reported" in (Path(pushed["pushed_model"]) / "model_card.md").read_text()


@pytest.mark.by_test_current
def test_another_preprocessing_in_serving_is_refused_by_parity(first_run, images, tmp_path):
    """The model that was pushed, exported again behind a preprocessing that mirrors pictures left to right."""
    import tensorflow as tf

    from components.serving_gate.gate import Trial, try_to_serve, verdict
    from components.serving_gate.process import AloneServer
    from components.serving_gate.tasks import TASKS
    from components.serving_gate.timing import budgets

    pushed = tf.saved_model.load(first_run["pushed_model"])

    class Mirrored(tf.Module):
        def __init__(self):
            super().__init__()
            self.pushed = pushed

        @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def serve(self, examples):
            def mirrored(one):
                return tf.io.encode_png(tf.io.decode_png(one, channels=3)[:, ::-1])

            return self.pushed.signatures["serving_default"](examples=tf.map_fn(mirrored, examples))

    served = Mirrored()
    tf.saved_model.save(served, str(tmp_path / "mirrored"), signatures={"serving_default": served.serve})
    files = [path.read_bytes() for path in sorted((images / "val").rglob("*.png"))]
    with np.load(first_artifacts("Trainer", "model_run", first_run) / "val_predictions.npz") as saved:
        by_key = dict(zip(saved["keys"].tolist(), saved["probabilities"].tolist(), strict=True))
    trained = {number: by_key[hashlib.sha256(file).hexdigest()] for number, file in enumerate(files)}
    (tmp_path / "requests").write_bytes(b"".join(base64.b64encode(file) + b"\n" for file in files))

    def launch(name, model):
        (tmp_path / name / "process").mkdir()
        return AloneServer(model, tmp_path / "requests", tmp_path / name / "process", timeout=120)

    trial = Trial(TASKS["single_label"], tmp_path / "mirrored", None, len(files), trained, budgets([], 0.1))
    findings = try_to_serve(trial, tmp_path, launch)
    (refused,) = [result for result in verdict([], findings) if not result.passed]
    assert refused.metric == "parity_max_difference"
    honest = next(gate for gate in first_run["gates"] if gate["metric"] == "parity_max_difference")
    print(f"parity: {honest['value']:.1e} as exported, {refused.value:.2f} with pictures mirrored in serving alone")
    assert honest["value"] < 1e-4 < 0.01 < refused.value


def test_the_pushed_folder_holds_its_card_and_is_the_model_that_was_served(first_run):
    version = Path(first_run["pushed_model"])
    card = json.loads((version / "model_card.json").read_text())
    assert card["model_sha256"] == model_digest(version)
    blessed = json.loads((first_artifacts("ServingGate", "findings", first_run) / "serving.json").read_text())
    assert blessed["model_sha256"] == card["model_sha256"]
    assert card["backbone"] == {"name": "SmallCNN", "source": "random", "licence": None, "sha256": None}
    assert card["data"]["splits"] == first_run["splits"]
    assert card["data"]["fingerprint"].startswith("files:")
    assert card["metrics"]["accuracy"]["value"] == pytest.approx(first_run["metrics"]["accuracy"])
    assert "interval" in card["metrics"]["accuracy"]
    assert [phase["name"] for phase in card["phases"]] == ["head", "tune"]
    page = (version / "model_card.md").read_text()
    assert all(title in page for title in ("## Metrics", "## Gates", "## Data", "## Training", "## Environment"))
    # Other tests of this file may have pushed since.
    newest = max((path for path in version.parent.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    champion = json.loads((version.parent / "champion.json").read_text())
    assert champion["model_sha256"] == json.loads((newest / "model_card.json").read_text())["model_sha256"]


@pytest.mark.by_test_current
def test_a_model_waits_for_approval_and_the_run_says_so(runner, first_run, tmp_path):
    from finetune_cli.approved_run import approve_run

    directory = f"push.directory={tmp_path / 'pushed'}"
    waiting = runner.run("evaluation.approval=required", directory)
    assert (waiting["status"], waiting["pushed_model"]) == ("pending", None)
    assert Path(waiting["pending_model"], "saved_model.pb").is_file()
    assert versions(tmp_path / "pushed") == []
    run_dir = Path(waiting["report"]).parent
    assert "waits for approval" in (run_dir / "report.html").read_text()
    assert approve_run(run_dir, "ann").new
    assert not approve_run(run_dir, "bob").new
    told = json.loads((run_dir / "summary.json").read_text())
    assert (told["status"], told["approval"]["by"]) == ("pushed", "ann")
    assert told["pushed_model"] == str(tmp_path / "pushed" / "1")
    assert "<img" in (run_dir / "report.html").read_text()
    again = runner.run("evaluation.approval=required", directory)
    assert (again["status"], again["pushed_model"]) == ("pushed", told["pushed_model"])
    assert states(again)["Pusher"] == "cached"


def test_a_model_that_changed_after_it_was_served_is_not_pushed(runner, first_run, tmp_path):
    facts = first_artifacts("Trainer", "model", first_run) / "Format-Serving" / FACTS_FILE
    kept = facts.read_bytes()
    facts.write_bytes(kept + b" ")
    try:
        stopped = runner.run(f"push.directory={tmp_path / 'pushed'}")
    finally:
        facts.write_bytes(kept)
    assert stopped["status"] == "failed"
    assert "has changed since the ServingGate served it" in stopped["error"]
    assert versions(tmp_path / "pushed") == []


def test_anomalies_stop_the_run_with_a_readable_message(first_run, runner, tmp_path):
    generated = artifacts(first_run, "SchemaGen", "schema") / "schema.pbtxt"
    curated = tmp_path / "schema.pbtxt"
    curated.write_text(generated.read_text().replace('value: "ring"', 'value: "triangle"'))
    stopped = runner.run(f"data.schema_file={curated}")
    assert stopped["status"] == "failed"
    assert stopped["components"][-1] == {**stopped["components"][-1], "id": "ExampleValidator", "state": "failed"}
    assert "ExampleValidator: The data do not fit the schema:" in stopped["error"]
    assert "train: label: Unexpected string values" in stopped["error"]
    assert "data.schema_file" in stopped["error"]


def test_a_fault_of_a_component_names_the_component_and_the_log(runner, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    failed = runner.run(f"data.root={folder}", f"output_dir={tmp_path / 'out'}")
    assert failed["status"] == "failed"
    assert failed["error"].startswith("ImageExampleGen: data.root")
    assert Path(failed["report"]).is_file()
    assert Path(failed["log_file"]).is_file()


def test_lr_find_takes_the_data_from_the_cache_and_draws_a_curve(first_run, raw_config, heard):
    from finetune_cli.lr_find import find_rate

    found = find_rate(Config.model_validate(raw_config), "tune", 1e-5, 1.0, 60, None)
    states = {event.component: event.state for event in heard if isinstance(event, ComponentFinished)}
    assert states.pop("RangeTest") == "ran"
    assert set(states.values()) == {"cached"}
    assert list(states)[-1] == "Transform"
    assert 1e-6 < found.suggestion.rate < 0.1
    assert found.plot.read_bytes().startswith(b"\x89PNG")


def test_two_runs_do_not_share_an_output_folder(first_run, runner):
    from finetune.errors import RunError
    from pipeline.only_run import only_run

    with only_run(Path(first_run["output_dir"])), pytest.raises(RunError, match="another run is going on"):
        runner.run()

"""The TFX component: all examples in, what the checks found out, and the examples that are trained on."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts

from components.bulk_inferrer.modalities import MODALITIES as PREVIEWS
from components.data_validation.counts import value_counts
from components.example_gen.files import printable
from components.example_gen.tasks import TASKS
from evaluation.data_checks import Examples, Found
from evaluation.data_checks.embedding_map import embedding_map
from evaluation.data_checks.judgement import emptied, judge, refusal
from evaluation.data_checks.served import SERVED
from finetune.artifacts.data_findings import STOPPED, DataFindings, ShownExample, ShownSuspect
from finetune.config.data import ActiveAction
from finetune.errors import DataError, DataRefused
from finetune.events import Note, emit
from finetune.example_cache import ExampleCache
from finetune.files import write_text

SPLITS = ("train", "val", "test")
SHOWN_SUSPECTS = 16
# Of suspects that belong together.
SHOWN_TOGETHER = 4
PREVIEW_FILES = "suspects"


class DataFindingsFolder(types.Artifact):
    """Folder with `data_findings.json`, the files and the thumbnails that it names."""

    TYPE_NAME = "DataFindings"


class DataGateSpec(component_spec.ComponentSpec):
    """Inputs, parameters and outputs of the component."""

    PARAMETERS = {
        "settings": component_spec.ExecutionParameter(type=str),
        "checks": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transformed_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "champion_statistics": component_spec.ChannelParameter(
            type=standard_artifacts.ExampleStatistics, optional=True
        ),
    }
    OUTPUTS = {
        "findings": component_spec.ChannelParameter(type=DataFindingsFolder),
        "trained_on": component_spec.ChannelParameter(type=standard_artifacts.Examples, optional=True),
    }


class Executor(base_executor.BaseExecutor):
    """Makes each check, says what it found, and stops the run where the config says so."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `DataFindings`, files of checks, `suspects/*.jpg`; and `trained_on`, where a check may drop examples.

        Raises:
            DataRefused: A check found something whose action is `stop`.
            DataError: What is left is not enough to train on.
        """
        # TensorFlow takes seconds to import, which whoever only wires the DAG need not wait for.
        import tensorflow_transform as tft

        from components.data_gate.examples import as_examples, read_raw, write_without
        from components.data_gate.served import embed_with_served

        self._log_startup(input_dict, output_dict, exec_properties)
        settings = json.loads(exec_properties["settings"])
        chosen: dict[str, tuple[ActiveAction, float]] = json.loads(exec_properties["checks"])
        raw = artifact_utils.get_single_instance(input_dict["examples"])
        transformed = artifact_utils.get_single_instance(input_dict["transformed_examples"])
        folder = Path(artifact_utils.get_single_uri(output_dict["findings"]))
        graph = tft.TFTransformOutput(artifact_utils.get_single_uri(input_dict["transform_graph"]))

        files = {split: f"{artifact_utils.get_split_uri([transformed], split)}/*" for split in SPLITS}
        modality, columns = settings["modality"], settings["columns"]
        log = settings["serving_log"] if SERVED.name in chosen else None
        embedding, served = embed_with_served(settings, graph, files, Path(log) if log else None)
        cache = _cache(settings)
        found = read_raw(raw, SPLITS, modality, columns, cache)
        if cache:
            cache.tidy()
        one_label = TASKS[settings["task"]].one_label
        counts, champion_counts = (_counts(input_dict.get(name)) for name in ("statistics", "champion_statistics"))
        examples = as_examples(embedding, found, modality, columns, one_label, served, counts, champion_counts)
        judged = judge(examples, chosen)
        for finding in judged.findings:
            if finding.found:
                emit(Note(text=f"DataGate: {finding.sentence}", level="warning"))
        findings = DataFindings(
            findings=judged.findings,
            suspects=_shown(raw, modality, examples, judged.found, folder),
            dropped=[printable(examples.paths[row]) for row in judged.dropped],
            files=[name for found in judged.found.values() for name in found.files],
            map=embedding_map(examples),
        )
        for each in judged.found.values():
            for name, text in each.files.items():
                write_text(folder / name, text, errors="surrogateescape")
        findings.write(folder)
        if reason := refusal(judged.findings):
            raise DataRefused(f"{reason}\nAll findings: {_keep(folder, Path(settings['report_dir']))}")
        if problem := emptied(examples, judged.dropped):
            raise DataError(problem)
        if "trained_on" in output_dict:
            dropped = Counter((str(embedding.splits[row]), embedding.keys[row]) for row in judged.dropped)
            trained_on = artifact_utils.get_single_instance(output_dict["trained_on"])
            write_without(transformed, trained_on, SPLITS[:2], dropped)


class DataGate(base_component.BaseComponent):
    """The node."""

    SPEC_CLASS = DataGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transformed_examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        statistics: types.BaseChannel,
        champion_statistics: types.BaseChannel,
        settings: dict[str, Any],
        checks: Mapping[str, tuple[ActiveAction, float]],
    ):
        """Takes what is checked, and how.

        Args:
            examples: Raw, with the splits train, val and test.
            transformed_examples: The same, transformed, in the same splits.
            transform_graph: Of Transform.
            statistics: Of the raw examples.
            champion_statistics: Of those that the champion was trained on; empty while there are none.
            settings: As of `trainer_module.recipe.run_fn`; `modality`; `columns`, those that checks look at;
                `example_cache` with `dir` and `gb`, where facts of examples are kept; `report_dir`, where findings are
                left that stop a run; `serving_log`, path of a table of what was served, or None.
            checks: Action and bound of each check to make, by its name.
        """
        outputs: dict[str, types.Channel] = {"findings": types.Channel(type=DataFindingsFolder)}
        if any(action == "drop" for action, _ in checks.values()):
            outputs["trained_on"] = types.Channel(type=standard_artifacts.Examples)
        spec = DataGateSpec(
            examples=examples,
            transformed_examples=transformed_examples,
            transform_graph=transform_graph,
            statistics=statistics,
            champion_statistics=champion_statistics,
            settings=json.dumps(settings, sort_keys=True),
            checks=json.dumps(checks),
            **outputs,
        )
        super().__init__(spec=spec)


def _counts(statistics: list[types.Artifact] | None) -> dict[str, dict[str, int]] | None:
    """Of the train split; None without statistics."""
    return value_counts(Path(artifact_utils.get_split_uri(statistics, SPLITS[0]))) if statistics else None


def _cache(settings: dict[str, Any]) -> ExampleCache | None:
    from components.data_gate.modalities import MODALITIES

    checked = MODALITIES.get(settings["modality"])
    if checked is None or checked.version is None:
        return None
    kept = settings["example_cache"]
    made_by = f"facts of {settings['modality']} {checked.version}"
    return ExampleCache(Path(kept["dir"]), made_by, kept["gb"] * 2**30)


def _shown(
    raw: types.Artifact, modality: str, examples: Examples, found: Mapping[str, Found], folder: Path
) -> dict[str, list[ShownSuspect]]:
    """Shows the first suspects of each check; files are relative to the folder."""
    from components.data_gate.examples import raw_values

    first = {name: each.suspects[:SHOWN_SUSPECTS] for name, each in found.items() if each.suspects}
    rows = sorted({row for each in first.values() for suspect in each for row in suspect.rows[:SHOWN_TOGETHER]})
    places = {(str(examples.splits[row]), examples.paths[row]): row for row in rows}
    (folder / PREVIEW_FILES).mkdir(parents=True, exist_ok=True)
    shown: dict[int, ShownExample] = {}
    for place, value in raw_values(raw, modality, places):
        row = places[place]
        preview = ShownExample(
            path=printable(place[1]),
            split=place[0],
            label=examples.label(row),
            **PREVIEWS[modality].preview(value, folder / PREVIEW_FILES / f"{row:08d}"),
        )
        shown[row] = preview.within(Path(PREVIEW_FILES))
    return {
        name: [
            ShownSuspect(
                examples=[shown[row] for row in suspect.rows[:SHOWN_TOGETHER]],
                reason=suspect.reason,
                suggested=suspect.suggested,
            )
            for suspect in each
        ]
        for name, each in first.items()
    }


def _keep(folder: Path, report_dir: Path) -> Path:
    """Keeps what stopped the run where it is found after TFX has removed the output of the node."""
    target = report_dir / STOPPED
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    return DataFindings.path(target)

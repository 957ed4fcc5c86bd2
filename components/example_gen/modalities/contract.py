"""The contract of `IngestModality`, which every entry of `MODALITIES` keeps. Imports TFX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from pydantic import BaseModel
from tfx.dsl.components.base import base_beam_component
from tfx.types import artifact_utils, standard_artifacts

from components.example_gen.modalities import MODALITIES
from components.example_gen.settings import SPLITS, IngestSettings
from finetune.artifacts.ingest_report import IngestReport
from finetune.config import DataConfig, DistillationConfig
from transforms import features
from transforms.modalities import MODALITIES as TRANSFORM_MODALITIES
from transforms.records import read_records


def check_modality(name: str, root: Path, folder: Path, chosen: Mapping[str, Any] | None = None) -> None:
    """Holds a modality against what the pipeline relies on, and ingests a small data set.

    Args:
        name: Key of the table.
        root: Data of the modality, with two classes and enough of each for three splits.
        folder: Empty; the examples go there.
        chosen: Settings of the ingest without which it reads nothing.

    Raises:
        AssertionError: The modality breaks the contract; the message says how.
    """
    modality = MODALITIES[name]
    component = modality.component()
    assert component.__name__ == modality.node_id, f"{name}: {modality.node_id} is made by {component.__name__}"
    assert "auto" in modality.layouts, f"{name} does not go with the default of data.layout"
    sections: dict[str, type[BaseModel]] = {"data": DataConfig, "training.distillation": DistillationConfig}
    known = {f"{place}.{key}" for place, section in sections.items() for key in section.model_fields}
    assert set(modality.keys) <= known, f"{name}: keys that no section has: {set(modality.keys) - known}"
    assert modality.root_problem(root) is None, f"{name} refuses data that are there: {modality.root_problem(root)}"
    assert modality.recognises(root), f"{name} does not recognise its own data in {root}"
    assert not modality.recognises(root / "absent"), f"{name} recognises data that are not there"
    assert modality.root_problem(root / "absent"), f"{name} does not miss data that are not there"

    on_beam = issubclass(component, base_beam_component.BaseBeamComponent)
    assert modality.on_beam == on_beam, f"{name}: {modality.node_id} runs on Beam: {on_beam}"

    node = component(str(root), dict(chosen or {}))
    driver = component.DRIVER_CLASS(None)
    settings = {"root": str(root), "settings": node.exec_properties["settings"]}
    found = [driver.resolve_exec_properties(dict(settings), None, None)["input_fingerprint"] for _ in range(2)]
    assert found[0] == found[1], f"{name}: the same data have two fingerprints"
    own = modality.fingerprint(str(root), IngestSettings.from_json(settings["settings"]))
    assert own == found[0], f"{name}: its driver has another fingerprint"

    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder / "examples")
    executor = component.EXECUTOR_SPEC.executor_class
    context = executor.Context(tmp_dir=str(folder / "tmp"), unique_id="1")
    executor(context).Do({}, {"examples": [artifact]}, settings)
    assert artifact_utils.decode_split_names(artifact.split_names) == list(SPLITS), f"{name} makes other splits"
    assert IngestReport.read(folder / "examples").used, f"{name} uses nothing of the data"
    raw = TRANSFORM_MODALITIES[name].raw
    for split in SPLITS:
        files = tf.io.gfile.glob(f"{artifact.uri}/Split-{split}/*")
        for record in read_records(files).as_numpy_iterator():
            feature = tf.train.Example.FromString(record).features.feature
            wanted = (raw, features.LABEL, features.PATH, features.SHA256)
            missing = [each for each in wanted if not feature[each].bytes_list.value]
            assert not missing, f"{name}: an example lacks {missing}; Transform and the report read them"
            value = feature[raw].bytes_list.value[0]
            assert modality.raw(value) == value, f"{name}: what the ingest has made, `raw` makes into something else"

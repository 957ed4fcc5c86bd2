"""What the metadata store knows of the champion and of what runs and decisions have looked at. No TensorFlow.

A decision is an execution of the type `NODE_ID` with an artifact of that type, whose folder has the decision, and the
list of the examples that were there where it looked into them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.champion.choice import champion_uri
from components.champion.looks import VERDICT_TYPE
from finetune.artifacts.example_list import ExampleList, ListedExample
from finetune.artifacts.retrain_decision import RetrainDecision
from finetune.config import Config
from finetune.errors import RunError
from pipeline.execution_cache import put_context
from pipeline.run_metadata import NODE, RUN, artifacts_of

# Of executions and artifacts of decisions.
NODE_ID = "RetrainDecision"
_INPUT, _OUTPUT = metadata_store_pb2.Event.INPUT, metadata_store_pb2.Event.OUTPUT


@dataclass(frozen=True)
class PastDecision:
    """A decision and the examples that it looked into."""

    artifact_id: int
    decision: RetrainDecision
    examples: list[ListedExample]


class Lineage:
    """Reads a metadata store, and writes decisions to it."""

    def __init__(self, store: mlmd.MetadataStore):
        self._store = store

    def champion(self, push_directory: Path) -> Any | None:
        """Returns the artifact of the model that is served; None where there is none that this store knows."""
        uri = champion_uri(push_directory, (), lambda uri: bool(self._store.get_artifacts_by_uri(uri)))
        return self._store.get_artifacts_by_uri(uri)[0] if uri else None

    def examples_of(self, model: Any) -> list[ListedExample] | None:
        """Returns what a model was made with; None where the run kept no list, or it is gone."""
        folder = self._raw_examples(model)
        return _listed(folder) if folder else None

    def judged_since(self, model: Any) -> Iterator[list[ListedExample]]:
        """Yields the lists of the runs whose models were judged since a model was made; of all runs for None."""
        since = model.id if model is not None else 0
        verdicts = [one for one in self._store.get_artifacts_by_type(VERDICT_TYPE) if one.id > since]
        models = [self._made_of(verdict).get("model") for verdict in verdicts]
        for folder in dict.fromkeys(self._raw_examples(one) for one in models if one is not None):
            if folder and (examples := _listed(folder)) is not None:
                yield examples

    def tested(self, model: Any) -> str | None:
        """Returns the folder of what a model said of its test examples when it was the candidate; None without."""
        for verdict in self._store.get_artifacts_by_type(VERDICT_TYPE):
            made_of = self._made_of(verdict)
            if "predictions" in made_of and made_of.get("model") is not None and made_of["model"].uri == model.uri:
                return str(made_of["predictions"].uri)
        return None

    def judged_after(self, decision: PastDecision) -> bool:
        """Tells whether a model was judged after a decision."""
        return any(verdict.id > decision.artifact_id for verdict in self._store.get_artifacts_by_type(VERDICT_TYPE))

    def decisions(self) -> list[PastDecision]:
        """Returns the decisions that looked into examples and are still there, the latest first."""
        found = []
        for artifact in sorted(self._store.get_artifacts_by_type(NODE_ID), key=lambda one: -one.id):
            try:
                decision, examples = RetrainDecision.find(artifact.uri), ExampleList.find(artifact.uri)
            except RunError:  # Of a later version, or damaged.
                continue
            if decision and examples:
                found.append(PastDecision(artifact.id, decision, examples.examples))
        return found

    def _raw_examples(self, model: Any) -> str | None:
        """Returns the folder of the ingest that a model was made from: of its examples, those of these, and so on."""
        artifact = model
        while (examples := self._made_of(artifact).get("examples")) is not None:
            artifact = examples
        return str(artifact.uri) if artifact is not model else None

    def _made_of(self, artifact: Any) -> dict[str, Any]:
        """Returns the inputs, by name, of the execution that made an artifact."""
        events = [event for event in self._store.get_events_by_artifact_ids([artifact.id]) if event.type == _OUTPUT]
        if not events:
            return {}
        (execution,) = self._store.get_executions_by_id([min(event.execution_id for event in events)])
        return artifacts_of(self._store, execution, _INPUT)


def record(store: mlmd.MetadataStore, config: Config, run_id: str, decision: RetrainDecision, folder: Path) -> None:
    """Files a decision, whose files are in a folder, under the run that it belongs to."""
    kind = store.put_artifact_type(metadata_store_pb2.ArtifactType(name=NODE_ID))
    work = store.put_execution_type(metadata_store_pb2.ExecutionType(name=NODE_ID))
    artifact = metadata_store_pb2.Artifact(
        type_id=kind, uri=str(folder), name=f"{NODE_ID}:{run_id}", state=metadata_store_pb2.Artifact.LIVE
    )
    artifact.custom_properties["action"].string_value = decision.action
    artifact.custom_properties["reasons"].string_value = "\n".join(each.sentence for each in decision.decisive)
    execution = metadata_store_pb2.Execution(
        type_id=work, name=f"{NODE_ID}:{run_id}", last_known_state=metadata_store_pb2.Execution.COMPLETE
    )
    event = metadata_store_pb2.Event(type=_OUTPUT)
    event.path.steps.add().key = "decision"
    event.path.steps.add().index = 0
    names = {"pipeline": config.name, RUN: run_id, NODE: f"{config.name}.{NODE_ID}"}
    contexts = [put_context(store, kind, name) for kind, name in names.items()]
    store.put_execution(execution, [(artifact, event)], contexts, reuse_context_if_already_exist=True)


def _listed(folder: str) -> list[ListedExample] | None:
    try:
        found = ExampleList.find(folder)
    except RunError:
        return None
    return found.examples if found else None

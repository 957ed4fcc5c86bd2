"""What the metadata store knows of the champion and of what runs and decisions have looked at. No TensorFlow.

A decision is an execution of the type `NODE_ID` with an artifact of that type, whose folder has the decision, and the
list of the examples that were there where it looked into them. Which data it was about, what it found of each span, and
how the run ended that it led to, are properties of the artifact, as folders go earlier than what the store says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.champion.choice import champion_uri
from components.champion.drifted import DECISION_TYPE, SPANS, to_text
from components.champion.lineage import execution_of
from components.champion.looks import VERDICT_TYPE
from finetune.artifacts.example_list import ExampleList, ListedExample
from finetune.artifacts.retrain_decision import TRAINS, Action, RetrainDecision
from finetune.config import Config
from finetune.errors import RunError
from pipeline.metadata_connection import connection_of
from pipeline.run_metadata import NODE, RUN, artifacts_of, has_succeeded, open_store, put_context

# Of executions and artifacts of decisions.
NODE_ID = DECISION_TYPE
ACTION, DATA, ENDED, REASONS = "action", "data", "ended", "reasons"
_INPUT, _OUTPUT = metadata_store_pb2.Event.INPUT, metadata_store_pb2.Event.OUTPUT
_PUSHER = "AtomicPusher"


@dataclass(frozen=True)
class PastDecision:
    """A decision: id of its artifact, its folder, and how the run ended that followed."""

    id: int
    folder: Path
    action: Action
    ended: str

    @property
    def unfinished(self) -> bool:
        """Whether it was to train, and the run that followed did not end."""
        return self.trains and not self.ended

    @property
    def trains(self) -> bool:
        """Whether a run follows."""
        return self.action in TRAINS

    @property
    def decision(self) -> RetrainDecision:
        """The whole of it."""
        return RetrainDecision.read(self.folder)

    @property
    def examples(self) -> list[ListedExample]:
        """All that there were; none where the list is damaged."""
        return _listed(self.folder) or []


def store_of(config: Config) -> mlmd.MetadataStore:
    """Opens the metadata store of a config's runs; the output folder is made where it is missing."""
    config.output_path.mkdir(parents=True, exist_ok=True)
    return open_store(connection_of(config))


class Lineage:
    """Reads a metadata store, and files decisions in it."""

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

    def transformed_of(self, model: Any) -> tuple[Any, Any] | None:
        """Returns the transformed examples that a model was trained on, and their Transform graph; None if gone."""
        made_of = self._made_of(model)
        found = tuple(made_of[name] for name in ("examples", "transform_graph") if name in made_of)
        return found if len(found) == 2 and all(Path(one.uri).is_dir() for one in found) else None

    def left_by_training(self, model: Any) -> str | None:
        """Returns the folder of what the Trainer left beside a model to go on from; None where that is gone."""
        events = self._store.get_events_by_artifact_ids([model.id])
        made = min((event.execution_id for event in events if event.type == _OUTPUT), default=None)
        if made is None:
            return None
        found = artifacts_of(self._store, self._store.get_executions_by_id([made])[0], _OUTPUT).get("model_run")
        return str(found.uri) if found is not None and Path(found.uri).is_dir() else None

    def warm_in_a_row(self) -> int:
        """Counts the trainings that went on from a champion and have ended, since the last that did not."""
        said = ([one.custom_properties[key].string_value for key in (ACTION, ENDED)] for one in self._decisions())
        ended = [action for action, ended in said if action in TRAINS and ended]
        return next((place for place, action in enumerate(ended) if action != "warm"), len(ended))

    def judged_since(self, model: Any | None) -> Iterator[list[ListedExample]]:
        """Yields the lists of the runs that ended with a verdict since a model was made; of all runs for None."""
        since = model.id if model is not None else 0
        verdicts = [one for one in self._store.get_artifacts_by_type(VERDICT_TYPE) if one.id > since]
        models = [self._made_of(verdict).get("model") for verdict in verdicts if self._reached_the_end(verdict)]
        for folder in dict.fromkeys(self._raw_examples(one) for one in models if one is not None):
            if folder and (examples := _listed(folder)) is not None:
                yield examples

    def tested(self, model: Any) -> str | None:
        """Returns the folder of what a model said of its test examples when it was the candidate; None without."""
        for verdict in self._store.get_artifacts_by_type(VERDICT_TYPE):
            made_of = self._made_of(verdict)
            if "predictions" in made_of and "model" in made_of and made_of["model"].uri == model.uri:
                return str(made_of["predictions"].uri)
        return None

    def decisions(self) -> list[PastDecision]:
        """Returns the decisions that looked into examples and are still there, the latest first."""
        return [_past(one) for one in self._decisions() if ExampleList.path(one.uri).is_file()]

    def decided(self) -> dict[str, str]:
        """Returns the digest of each span that was decided on, and where a run followed, that has ended.

        The key of data without spans is "". Where a span was decided on twice, the latest digest counts.
        """
        found: dict[str, str] = {}
        for artifact in reversed(self._decisions()):
            said = {name: value.string_value for name, value in artifact.custom_properties.items()}
            if said[ACTION] != "waiting" and (said[ACTION] not in TRAINS or said.get(ENDED)):
                found |= json.loads(said[DATA])
        return found

    def file(
        self, config: Config, run_id: str, decision: RetrainDecision, data: Mapping[str, str], folder: Path
    ) -> int:
        """Files a decision under the run that it belongs to.

        Args:
            config: Of the pipeline.
            run_id: Of the decision, and of the run that may follow.
            decision: To file.
            data: Digest of each span that it is about, by name; "" for data without spans.
            folder: Has the files of the decision.

        Returns:
            The id of its artifact.
        """
        kind = self._store.put_artifact_type(metadata_store_pb2.ArtifactType(name=NODE_ID))
        work = self._store.put_execution_type(metadata_store_pb2.ExecutionType(name=NODE_ID))
        name, artifact_live = f"{NODE_ID}:{run_id}", metadata_store_pb2.Artifact.LIVE
        artifact = metadata_store_pb2.Artifact(type_id=kind, uri=str(folder), name=name, state=artifact_live)
        reasons = "\n".join(reason.sentence for reason in decision.decisive)
        spans = to_text(decision.spans)
        for key, text in {
            ACTION: decision.action,
            REASONS: reasons,
            DATA: json.dumps(dict(data)),
            SPANS: spans,
        }.items():
            artifact.custom_properties[key].string_value = text
        execution = metadata_store_pb2.Execution(
            type_id=work, name=name, last_known_state=metadata_store_pb2.Execution.COMPLETE
        )
        event = metadata_store_pb2.Event(type=_OUTPUT)
        event.path.steps.add().key = "decision"
        event.path.steps.add().index = 0
        names = {"pipeline": config.name, RUN: run_id, NODE: f"{config.name}.{NODE_ID}"}
        contexts = [put_context(self._store, kind, name) for kind, name in names.items()]
        _, (artifact_id,), _ = self._store.put_execution(
            execution, [(artifact, event)], contexts, reuse_context_if_already_exist=True
        )
        return int(artifact_id)

    def take_up(self, decision: int, run_id: str) -> None:
        """Notes that a run goes on with an earlier decision."""
        attribution = metadata_store_pb2.Attribution(
            artifact_id=decision, context_id=put_context(self._store, RUN, run_id).id
        )
        self._store.put_attributions_and_associations([attribution], [])

    def of_run(self, run_id: str) -> PastDecision | None:
        """Returns the decision that a run follows from; None where there is none."""
        context = self._store.get_context_by_type_and_name(RUN, run_id)
        artifacts = self._store.get_artifacts_by_context(context.id) if context else []
        found = max((one for one in artifacts if one.type == NODE_ID), key=lambda one: one.id, default=None)
        return _past(found) if found else None

    def end(self, decision: int, status: str) -> None:
        """Notes how the run ended that a decision led to."""
        (artifact,) = self._store.get_artifacts_by_id([decision])
        artifact.custom_properties[ENDED].string_value = status
        self._store.put_artifacts([artifact])

    def _decisions(self) -> list[Any]:
        """Returns the artifacts of all decisions, the latest first."""
        return sorted(self._store.get_artifacts_by_type(NODE_ID), key=lambda one: -one.id)

    def _raw_examples(self, model: Any) -> str | None:
        """Returns the folder of the ingest that a model was made from: of its examples, those of these, and so on."""
        artifact = model
        while (examples := self._made_of(artifact).get("examples")) is not None:
            artifact = examples
        return str(artifact.uri) if artifact is not model else None

    def _made_of(self, artifact: Any) -> dict[str, Any]:
        """Returns the inputs, by name, of the execution that made an artifact."""
        made = execution_of(self._store, artifact.id)
        if made is None:
            return {}
        (execution,) = self._store.get_executions_by_id([made])
        return artifacts_of(self._store, execution, _INPUT)

    def _reached_the_end(self, verdict: Any) -> bool:
        """Tells whether a Pusher has done what a verdict says; a run that was killed before that has to go on."""
        events = [event for event in self._store.get_events_by_artifact_ids([verdict.id]) if event.type == _INPUT]
        executions = self._store.get_executions_by_id(list({event.execution_id for event in events}))
        return any(has_succeeded(one) and one.type.endswith(_PUSHER) for one in executions)


def _past(artifact: Any) -> PastDecision:
    action, ended = (artifact.custom_properties[key].string_value for key in (ACTION, ENDED))
    return PastDecision(artifact.id, Path(artifact.uri), action, ended)


def _listed(folder: str | Path) -> list[ListedExample] | None:
    try:
        found = ExampleList.find(folder)
    except RunError:
        return None
    return found.examples if found else None

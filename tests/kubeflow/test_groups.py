"""Which nodes share a task, without KFP."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from finetune.config import load_config
from finetune_kubeflow.package.groups import groups, groups_of

ROOT = Path(__file__).parents[2]
# The DAG with both trained baselines; a test of the compiled packages holds the real one against `groups_of`.
DAG = {
    "ImageExampleGen": [],
    "StatisticsGen": ["ImageExampleGen"],
    "SchemaGen": ["StatisticsGen"],
    "ExampleValidator": ["StatisticsGen", "SchemaGen"],
    "Transform": ["ImageExampleGen", "SchemaGen", "ExampleValidator"],
    "TrainingDataResolver": ["StatisticsGen", "Transform"],
    "DataGate": ["ImageExampleGen", "Transform", "StatisticsGen", "TrainingDataResolver"],
    "LinearTrainer": ["Transform", "SchemaGen", "DataGate"],
    "ScratchTrainer": ["Transform", "SchemaGen", "DataGate"],
    "Trainer": ["Transform", "SchemaGen", "DataGate"],
    "ChampionResolver": ["Trainer"],
    "BulkInferrer": ["ImageExampleGen", "Trainer", "ChampionResolver", "LinearTrainer", "ScratchTrainer"],
    "Evaluator": ["ImageExampleGen", "Trainer", "ChampionResolver", "SchemaGen"],
    "ServingGate": ["ImageExampleGen", "Trainer", "ChampionResolver"],
    "GateKeeper": ["BulkInferrer", "Evaluator", "ServingGate"],
    "Pusher": ["ImageExampleGen", "Trainer", "GateKeeper", "ServingGate"],
}
SCHEMA = ("ImageExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator")
DATA = (*SCHEMA, "Transform", "TrainingDataResolver", "DataGate")
JUDGEMENT = ("ChampionResolver", "BulkInferrer", "Evaluator", "ServingGate", "GateKeeper", "Pusher")


def grouped(*overrides: str) -> list[tuple[str, ...]]:
    return groups_of(load_config(ROOT / "configs" / "digits.yaml", overrides).kubernetes, DAG, kinds(DAG))


def kinds(nodes: Iterable[str]) -> dict[str, str]:
    return {node: "Trainer" if node.endswith("Trainer") else node for node in nodes}


def test_light_nodes_share_tasks_and_each_trainer_has_its_own():
    assert grouped() == [DATA, ("LinearTrainer",), ("ScratchTrainer",), ("Trainer",), JUDGEMENT]


def test_the_tuner_has_a_task_of_its_own_before_the_trainer():
    tuned = {**DAG, "Tuner": DAG["Trainer"], "Trainer": [*DAG["Trainer"], "Tuner"]}
    order = {node: tuned[node] for node in [*list(DAG)[:9], "Tuner", *list(DAG)[9:]]}
    found = groups_of(load_config(ROOT / "configs" / "digits.yaml").kubernetes, order, kinds(order))
    assert found.index(("Tuner",)) < found.index(("Trainer",))


def test_a_node_with_a_placement_has_a_task_of_its_own():
    trainers = [("LinearTrainer",), ("ScratchTrainer",), ("Trainer",)]
    assert grouped("kubernetes.components.Evaluator.memory=8Gi") == [
        DATA,
        *trainers,
        ("ChampionResolver", "BulkInferrer", "ServingGate"),
        ("Evaluator",),
        ("GateKeeper", "Pusher"),
    ]
    apart = [SCHEMA, ("Transform",), ("TrainingDataResolver", "DataGate")]
    assert grouped("kubernetes.components.Transform.cpu=4") == [*apart, *trainers, JUDGEMENT]


def test_grouping_can_be_turned_off():
    assert sorted(grouped("kubernetes.group_light_nodes=false")) == sorted((node,) for node in DAG)


@pytest.mark.parametrize("seed", range(300))
def test_any_dag_is_cut_into_groups_that_can_run_one_after_the_other(seed: int):
    draw = random.Random(seed)
    nodes = [f"n{number}" for number in range(draw.randint(1, 14))]
    density = draw.random()
    upstream = {node: [other for other in nodes[:place] if draw.random() < density] for place, node in enumerate(nodes)}
    alone = {node for node in nodes if draw.random() < 0.4}
    found = groups(upstream, alone)
    assert sorted(node for group in found for node in group) == sorted(nodes)
    assert all(len(group) == 1 for group in found if alone.intersection(group))
    done: set[str] = set()
    for group in found:
        for node in group:
            assert done.issuperset(upstream[node]), f"{node} runs before what it waits for: {found}"
            done.add(node)
    assert len(groups(upstream, alone=())) == 1

"""Placement decisions, without KFP."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from finetune.config import Config, load_config
from finetune.errors import ConfigError
from finetune_kubeflow.package import placement, pod_checks
from finetune_kubeflow.workers import manifests
from pipeline.plan import node_ids

ROOT = Path(__file__).parents[2]


def config(*overrides: str, file: str = "digits.yaml") -> Config:
    return load_config(ROOT / "configs" / file, overrides)


def problems(*overrides: str, file: str = "digits.yaml") -> list[str]:
    made = config(*overrides, file=file)
    return placement.problems(made.kubernetes, node_ids(made), manifests.jobs(made, node_ids(made)))


def test_a_component_replaces_only_the_keys_that_it_sets():
    made = config(
        "kubernetes.defaults={image: a, memory: 2Gi, tolerations: [{key: x, operator: Exists}]}",
        "kubernetes.components.Trainer={image: b, tolerations: []}",
    )
    trainer, other = placement.placement(made.kubernetes, "Trainer"), placement.placement(made.kubernetes, "Pusher")
    assert (trainer.image, trainer.memory, trainer.tolerations) == ("b", "2Gi", [])
    assert (other.image, other.memory, other.tolerations[0].key) == ("a", "2Gi", "x")


def test_the_tuner_is_placed_as_the_trainer_unless_it_says_otherwise():
    made = config("kubernetes.components.Trainer={memory: 8Gi, cpu: 4}", "kubernetes.defaults.cpu=1")
    assert placement.placement(made.kubernetes, "Tuner") == placement.placement(made.kubernetes, "Trainer")
    own = config("kubernetes.components.Trainer={memory: 8Gi, cpu: 4}", "kubernetes.components.Tuner={memory: 2Gi}")
    assert placement.placement(own.kubernetes, "Tuner").memory == "2Gi"


def test_only_a_component_with_an_accelerator_sees_a_gpu():
    made = config("kubernetes.components.Trainer.accelerator.count=1")
    for node_id in node_ids(made):
        placed = placement.placement(made.kubernetes, node_id)
        hidden = placement.environment(made.kubernetes, placed).get("CUDA_VISIBLE_DEVICES")
        assert hidden == (None if node_id == "Trainer" else "-1"), node_id


def test_an_accelerator_for_everyone_is_refused():
    with pytest.raises(ConfigError, match=r"kubernetes\.defaults: .*components that use them"):
        config("kubernetes.defaults.accelerator.count=1")


def test_kueue_labels_come_from_queue_and_priority():
    made = config("kubernetes.defaults={queue: team, queue_priority: batch, labels: {a: b}}")
    labels = placement.pod_labels(placement.placement(made.kubernetes, "Trainer"))
    expected = {"a": "b", "kueue.x-k8s.io/queue-name": "team", "kueue.x-k8s.io/priority-class": "batch"}
    assert labels == expected


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("kubernetes.components.Trainr={cpu: 2}", "Did you mean 'Trainer'?"),
        ("kubernetes.components.Trainer={priority_class: high}", "a KFP task has none"),
        ("kubernetes.components.Trainer={service_account: me}", "all tasks of a KFP run share one"),
        ("kubernetes.components.Trainer={accelerator: {count: 3}}", "KFP takes one of 1, 2, 4, 8, 16"),
        (
            "kubernetes.components.Trainer={volumes: [{claim: a, mount_path: /finetune}]}",
            "/finetune is mounted twice",
        ),
        ("kubernetes.components.Trainer={env: {FINETUNE_ROOT: /x}}", "FINETUNE_ROOT is set twice"),
        ("kubernetes.components.Trainer={env: {'1 x': a}}", "env: got '1 x'; expected the name of a variable"),
        ("kubernetes.components.Trainer={volumes: [{claim: finetune, mount_path: /x}]}", "finetune is mounted twice"),
        (
            "kubernetes.components.Trainer={volumes: [{claim: a.b, mount_path: /x}]}",
            "got 'a.b'; a pod's volume is named",
        ),
        (
            "kubernetes.components.Trainer={secrets: [{name: a, mount_path: /x}, {name: a, mount_path: /y}]}",
            "a is mounted twice; expected each claim, Secret and ConfigMap once",
        ),
        ("kubernetes.components.Trainer={cpu: 1500m, cpu_limit: 1}", "cpu: got 1500m, above cpu_limit, 1"),
        ("kubernetes.components.Trainer={memory: 8Gi, memory_limit: 8G}", "memory: got 8Gi, above memory_limit, 8G"),
        ("kubernetes.components.Trainer={labels: {team: a b}}", "labels: got 'a b'; expected letters, digits"),
        ("kubernetes.components.Trainer={node_selector: {a/b/c: x}}", "node_selector: got the key 'a/b/c'"),
        ("kubernetes.components.Trainer={queue: /x}", "queue: got '/x'; expected letters, digits"),
    ],
)
def test_what_kfp_cannot_express_is_a_problem(override: str, problem: str):
    found = problems(override)
    assert len(found) == 1
    assert problem in found[0]


def test_what_later_sdks_write_out_though_it_is_the_default_is_left_out():
    written = {
        "secretAsEnv": [{"secretName": "a", "optional": False}, {"secretName": "b", "optional": True}],
        "imagePullPolicy": "Always",
        "podMetadata": {"labels": {"optional": "x"}},
    }
    kept = {**written, "secretAsEnv": [{"secretName": "a"}, {"secretName": "b", "optional": True}]}
    assert placement.without_later_fields(written) == kept


@pytest.mark.parametrize(
    ("quantity", "number"),
    [("2", 2), ("500m", Decimal("0.5")), (".5", Decimal("0.5")), ("1Ki", 1024), ("2G", 2 * 10**9)],
)
def test_a_quantity_is_the_number_that_kubernetes_takes_it_for(quantity: str, number: Decimal):
    assert pod_checks.amount(quantity) == number


def test_the_recipes_have_no_problems():
    assert problems() == []
    assert problems(file="flowers_gpu.yaml") == []


def test_workers_may_have_what_a_kfp_task_may_not():
    several = ("distribution.workers=2", "kubernetes.components.Trainer={priority_class: high, service_account: me}")
    assert problems(*several) == []


def test_the_task_that_watches_workers_asks_for_no_gpu():
    settings = config(file="flowers_gpu.yaml").kubernetes
    working, watching = placement.placement(settings, "Trainer"), placement.task_placement(settings, "Trainer", True)
    assert working.accelerator
    assert watching.accelerator is None
    assert not watching.node_selector
    assert watching.queue is None
    assert (watching.image, watching.timeout_minutes) == (working.image, working.timeout_minutes)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("kubernetes.defaults.memory=8GB", r"memory: got '8GB'; expected an amount of bytes, such as 8Gi"),
        ("kubernetes.defaults.cpu=two", r"cpu: got 'two'; expected a number of CPUs"),
        ("kubernetes.volume.mount_path=finetune", "expected an absolute path"),
        ("kubernetes.defaults.queue_priority=x", "`queue_priority` goes with `queue`"),
        ("kubernetes.defaults.secrets=[{name: a}]", "expected `env` or `mount_path`"),
        ("kubernetes.defaults.tolerations=[{effect: NoSchedule}]", "expected `key`, or operator `Exists`"),
        ("kubernetes.defaults.retries.backoff_factor=1.5", r"backoff_factor: got 1\.5; expected a valid integer"),
        ("kubernetes.defaults.gpu=1", "unknown key; expected one of image"),
        ("distribution={workers: 2, strategy: mirrored}", "go with strategy `auto` or `multi_worker_mirrored`"),
    ],
)
def test_a_wrong_section_is_explained(override: str, message: str):
    with pytest.raises(ConfigError, match=message):
        config(override)

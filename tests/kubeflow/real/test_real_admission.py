"""A real API server takes every manifest, Job, Service and Pod in a restricted namespace, without a warning."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import ROOT
from control_plane import NAMESPACE, ControlPlane
from go_programs import module_folder

from finetune.config import load_config
from finetune_kubeflow.workers import manifests, train_job

MANIFESTS = ROOT / "kubeflow" / "manifests"
# What Flink's operator brings is not Kubernetes'.
KUSTOMIZATIONS = sorted(
    file.parent for file in MANIFESTS.rglob("kustomization.yaml") if file.parent.name not in ("flink",)
)
OWNER = {"name": "trainer-pod", "uid": "123"}


def worker_job(name: str = "train") -> dict[str, Any]:
    template = manifests.job(load_config(ROOT / "configs" / "flowers_gpu.yaml"), "Trainer")
    return manifests.named_job(template, name, OWNER, "/finetune", "/finetune/i.pb", domain="train")


@pytest.mark.parametrize("folder", KUSTOMIZATIONS, ids=lambda folder: folder.name)
def test_a_kustomization_is_taken(control_plane: ControlPlane, folder: Path):
    options = ["--server-side", "--dry-run=server", "--warnings-as-errors"]
    done = control_plane.kubectl("apply", *options, "-k", folder)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_pod_that_the_namespace_forbids_is_noticed(control_plane: ControlPlane):
    (*_, database) = yaml.safe_load_all((MANIFESTS / "base" / "mysql.yaml").read_text())
    database["metadata"]["namespace"] = NAMESPACE
    assert control_plane.apply(database, "--dry-run=server") == ""
    del database["spec"]["template"]["spec"]["securityContext"]["seccompProfile"]
    assert "seccompProfile" in control_plane.apply(database, "--dry-run=server")


def test_the_template_of_the_secret_is_taken(control_plane: ControlPlane):
    secret = yaml.safe_load((MANIFESTS / "base" / "secret.template.yaml").read_text())
    secret["metadata"]["namespace"] = NAMESPACE
    assert control_plane.apply(secret, "--dry-run=server") == ""


def test_the_pod_that_copies_data_is_taken(control_plane: ControlPlane):
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    (pod,) = re.findall(r"(?m)^   kubectl apply -f - <<'END'\n(.*?)^   END$", text, re.DOTALL)
    assert control_plane.apply(yaml.safe_load(pod), "--dry-run=server") == ""


def test_the_workers_job_its_service_and_its_pods_are_taken(control_plane: ControlPlane):
    job = worker_job()
    pod = copy.deepcopy(job["spec"]["template"])
    made = [job, manifests.service("train", "1"), {"apiVersion": "v1", "kind": "Pod", **pod}]
    # The class of flowers_gpu.yaml, which the overlay `gpu` makes.
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1000}
    name = pod["spec"].get("priorityClassName")
    if name:
        policy = {"preemptionPolicy": "Never"}
        assert control_plane.apply({**priority, **policy, "metadata": {"name": name}}) == ""
    for document in made:
        document["metadata"] = {**document["metadata"], "namespace": NAMESPACE}
        document["metadata"].setdefault("name", "train-0")
        assert control_plane.apply(document, "--dry-run=server") == ""


def test_a_train_job_and_its_runtime_are_taken(control_plane: ControlPlane):
    crds = module_folder("trainer", "github.com/kubeflow/trainer/v2") / "manifests" / "base" / "crds"
    assert control_plane.kubectl("apply", "--server-side", "-k", crds).returncode == 0
    names = [f"crd/{kind}.{train_job.GROUP}" for kind in (train_job.RUNTIMES, train_job.TRAIN_JOBS)]
    assert control_plane.kubectl("wait", "--for=condition=established", *names).returncode == 0
    for document in train_job.manifests(worker_job(train_job.inner_job_name("train"))):
        document["metadata"]["namespace"] = NAMESPACE
        assert control_plane.apply(document, "--dry-run=server") == ""
        document["spec"]["surplus"] = 1
        assert "surplus" in control_plane.apply(document, "--dry-run=server")

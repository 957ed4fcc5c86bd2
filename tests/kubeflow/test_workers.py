"""The Job of workers: its manifests, TF_CONFIG, and its life against a locally served Kubernetes API."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import ROOT
from fake_cluster import FakeCluster
from kubernetes import client
from kubernetes import config as kubernetes_config

from finetune.config import load_config
from finetune.errors import ConfigError, RunError
from finetune_kubeflow.workers import manifests, pod, train_job, watch

OWNER = {"name": "trainer-pod", "uid": "123"}
JOBS = "/apis/batch/v1/namespaces/kubeflow/jobs"
NAMESPACE = "/api/v1/namespaces/kubeflow"
TRAINER = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/kubeflow"


def manifest(code: str = "pass", name: str = "train", **spec: Any) -> dict[str, Any]:
    """The Job of flowers_gpu.yaml, with pods that run `code`."""
    template = manifests.job(load_config(ROOT / "configs" / "flowers_gpu.yaml"), "Trainer")
    made = manifests.named_job(template, name, OWNER, "/finetune", "/finetune/invocation.pb", domain="train")
    made["spec"] |= spec
    container = made["spec"]["template"]["spec"]["containers"][0]
    container["command"], container["args"] = ["python", "-c", textwrap.dedent(code)], []
    return made


@pytest.fixture
def cluster(tmp_path: Path):
    with FakeCluster(tmp_path) as fake:
        yield fake


def api(fake: FakeCluster) -> client.ApiClient:
    return kubernetes_config.new_client_from_config(str(fake.kubeconfig))


def test_the_job_is_complete_and_owned_by_its_creator():
    made = manifests.named_job(
        manifests.job(load_config(ROOT / "configs" / "flowers_gpu.yaml"), "Trainer"),
        "train",
        OWNER,
        "/mnt",
        "/mnt/i.pb",
    )
    assert made["metadata"]["ownerReferences"] == [{"apiVersion": "v1", "kind": "Pod", **OWNER}]
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "finetune"
    spec = made["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (
        "Indexed",
        2,
        2,
        6,
    )
    pod = spec["template"]["spec"]
    assert (pod["subdomain"], pod["restartPolicy"]) == ("train", "Never")
    (container,) = pod["containers"]
    assert container["args"] == ["/mnt/i.pb"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment == {"FINETUNE_ROOT": "/mnt", "FINETUNE_WORKERS": "train-0.train:2222,train-1.train:2222"}
    assert manifests.service("train", "1")["spec"]["selector"] == {"batch.kubernetes.io/job-name": "train"}


def test_workers_get_no_credentials_of_the_metadata_store():
    assert "MLMD" not in json.dumps(manifest())


def test_tf_config_comes_from_the_completion_index():
    made = json.loads(pod.tf_config({"FINETUNE_WORKERS": "a:1,b:2", "JOB_COMPLETION_INDEX": "1"}))
    assert made == {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}
    for index in ("", "2", "x"):
        with pytest.raises(ConfigError, match="expected the index of this pod"):
            pod.tf_config({"FINETUNE_WORKERS": "a:1,b:2", "JOB_COMPLETION_INDEX": index})


def test_a_job_runs_to_its_end_and_is_deleted(cluster: FakeCluster, capfd: pytest.CaptureFixture[str]):
    code = "import os; print('worker', os.environ['JOB_COMPLETION_INDEX'], os.environ['FINETUNE_WORKERS'])"
    sent = manifest(code)
    watch.run_job(api(cluster), "kubeflow", sent, poll_seconds=0.1)
    calls = cluster.calls()
    assert calls[:3] == [("DELETE", f"{JOBS}/train"), ("POST", JOBS), ("POST", f"{NAMESPACE}/services")]
    assert ("GET", f"{NAMESPACE}/pods/train-0-0/log") in calls
    assert calls[-2:] == [("DELETE", f"{JOBS}/train"), ("GET", f"{JOBS}/train")]
    bodies = [body for method, _, body in cluster.requests if method == "POST"]
    assert bodies == [sent, manifests.service("train", "uid-train")]
    assert cluster.jobs == {}
    assert "worker 0 127.0.0.1:" in capfd.readouterr().err


def test_a_worker_that_fails_is_replaced(cluster: FakeCluster):
    code = """
    import os, pathlib
    marker = pathlib.Path('failed-once')
    if os.environ['JOB_COMPLETION_INDEX'] == '1' and not marker.exists():
        marker.touch()
        raise SystemExit(1)
    """
    watch.run_job(api(cluster), "kubeflow", manifest(code), poll_seconds=0.1)
    assert [pod["index"] for pod in cluster.ended] == [0, 1, 1]


def test_a_job_that_fails_too_often_is_an_error_and_is_deleted(cluster: FakeCluster):
    with pytest.raises(RunError, match="Job train: BackoffLimitExceeded: Job has reached the specified backoff limit"):
        watch.run_job(api(cluster), "kubeflow", manifest("raise SystemExit(1)", backoffLimit=1), poll_seconds=0.1)
    assert cluster.jobs == {}


def test_what_a_killed_attempt_left_is_deleted_first(cluster: FakeCluster):
    left = manifest("import time; time.sleep(600)")
    cluster.create_job(left)
    watch.run_job(api(cluster), "kubeflow", manifest(), poll_seconds=0.1)
    assert cluster.calls()[:3] == [("DELETE", f"{JOBS}/train"), ("GET", f"{JOBS}/train"), ("POST", JOBS)]


def test_sigterm_deletes_the_job(cluster: FakeCluster, tmp_path: Path):
    (tmp_path / "job.json").write_text(json.dumps(manifest("import time; time.sleep(600)")))
    code = """
    import json, pathlib, sys
    from kubernetes import config
    from finetune_kubeflow.workers.watch import run_job
    manifest = json.loads(pathlib.Path(sys.argv[2]).read_text())
    run_job(config.new_client_from_config(sys.argv[1]), "kubeflow", manifest, poll_seconds=0.1)
    """
    watching = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(cluster.kubeconfig), str(tmp_path / "job.json")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    deadline = time.monotonic() + 30
    while not any(path.endswith("/log") for _, path, _ in cluster.requests) and time.monotonic() < deadline:
        time.sleep(0.05)
    watching.send_signal(signal.SIGTERM)
    assert watching.wait(30) == 128 + signal.SIGTERM
    assert cluster.jobs == {}


def test_a_train_job_trains_as_the_job_does(cluster: FakeCluster, capfd: pytest.CaptureFixture[str]):
    code = "import os; print('worker', os.environ['JOB_COMPLETION_INDEX'], os.environ['FINETUNE_WORKERS'])"
    sent = manifest(code, train_job.inner_job_name("train"))
    assert "train-node-0-0.train:2222,train-node-0-1.train:2222" in json.dumps(sent)
    watch.run_job(api(cluster), "kubeflow", sent, poll_seconds=0.1, as_train_job=True)
    calls = cluster.calls()
    assert calls[:4] == [
        ("DELETE", f"{TRAINER}/trainjobs/train"),
        ("DELETE", f"{TRAINER}/trainingruntimes/train"),
        ("POST", f"{TRAINER}/trainingruntimes"),
        ("POST", f"{TRAINER}/trainjobs"),
    ]
    assert ("GET", f"{NAMESPACE}/pods/train-node-0-0-0/log") in calls
    assert calls[-1] == ("DELETE", f"{TRAINER}/trainingruntimes/train")
    assert [body for method, _, body in cluster.requests if method == "POST"] == list(train_job.manifests(sent))
    assert (cluster.jobs, cluster.custom) == ({}, {"trainingruntimes": {}, "trainjobs": {}})
    assert "worker 0 127.0.0.1:" in capfd.readouterr().err


def test_a_train_job_waits_in_the_queue_and_its_pods_do_not():
    runtime, made = train_job.manifests(manifest(name=train_job.inner_job_name("train")))
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "finetune"
    assert (
        made["metadata"]["ownerReferences"]
        == runtime["metadata"]["ownerReferences"]
        == [{"apiVersion": "v1", "kind": "Pod", **OWNER}]
    )
    assert "kueue" not in json.dumps(runtime)


def test_a_train_job_that_trainer_refuses_is_an_error(cluster: FakeCluster):
    cluster.refused_train_jobs = "TrainingRuntimeNotSupported"
    sent = manifest(name=train_job.inner_job_name("train"))
    with pytest.raises(RunError, match="TrainJob train: TrainingRuntimeNotSupported: it cannot be"):
        watch.run_job(api(cluster), "kubeflow", sent, poll_seconds=0.1, as_train_job=True)
    assert not cluster.custom["trainjobs"]


def test_train_jobs_fit_the_models_of_kubeflow_trainer():
    models = pytest.importorskip("kubeflow_trainer_api.models", reason="kubeflow-trainer-api brings the models")
    runtime, made = train_job.manifests(manifest(name=train_job.inner_job_name("train")))
    for kind, sent in (("TrainingRuntime", runtime), ("TrainJob", made)):
        read = getattr(models, f"TrainerV1alpha1{kind}").from_dict(sent).to_dict()
        assert without_defaults(read, sent) == sent


def without_defaults(read: Any, sent: Any) -> Any:
    """What was read, less the keys that were not sent."""
    if isinstance(sent, dict):
        return {key: without_defaults(read[key], value) for key, value in sent.items() if key in read}
    if isinstance(sent, list):
        return [without_defaults(one, other) for one, other in zip(read, sent, strict=True)]
    return read


def test_a_refusal_is_a_sentence(tmp_path: Path):
    sentence = r"Kubernetes refused \(403\): jobs\.batch is forbidden\. .*rbac\.yaml"
    with (
        FakeCluster(tmp_path, refuse=(403, "jobs.batch is forbidden")) as fake,
        pytest.raises(RunError, match=sentence),
    ):
        watch.run_job(api(fake), "kubeflow", manifest(), poll_seconds=0.1)


def test_the_role_allows_what_is_asked_and_nothing_more(cluster: FakeCluster):
    watch.run_job(api(cluster), "kubeflow", manifest(), poll_seconds=0.1)
    wrapped = manifest("import time; time.sleep(1)", train_job.inner_job_name("train"))
    cluster.queued_train_jobs = True
    watch.run_job(api(cluster), "kubeflow", wrapped, poll_seconds=0.1, as_train_job=True)
    documents = yaml.safe_load_all((ROOT / "kubeflow" / "manifests" / "base" / "rbac.yaml").read_text())
    role = next(one for one in documents if one["kind"] == "Role")
    allowed = {(name, verb) for rule in role["rules"] for name in rule["resources"] for verb in rule["verbs"]}
    assert {_right(method, path) for method, path in cluster.calls()} == allowed


def _right(method: str, path: str) -> tuple[str, str]:
    """Resource and verb of a request, as RBAC names them."""
    resource, *rest = path.split("/namespaces/kubeflow/")[1].split("/")
    verb = {"POST": "create", "DELETE": "delete"}.get(method, "get" if rest else "list")
    return f"{resource}/{rest[1]}" if len(rest) == 2 else resource, verb

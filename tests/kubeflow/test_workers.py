"""The Job of workers: its manifests, TF_CONFIG, and its life against a locally served Kubernetes API."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import ROOT
from fake_cluster import FakeCluster
from kubernetes import client
from kubernetes import config as kubernetes_config

from finetune import lease, termination
from finetune.config import load_config
from finetune.errors import ConfigError, RunError
from finetune_kubeflow.environment import FINAL_EXIT_CODE
from finetune_kubeflow.workers import manifests, patience, pod, train_job, watch

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
    assert spec["successPolicy"] == {"rules": [{"succeededIndexes": "0"}]}
    actions = [
        (rule["action"], rule.get("onExitCodes", {}).get("values")) for rule in spec["podFailurePolicy"]["rules"]
    ]
    assert actions == [("FailJob", [FINAL_EXIT_CODE]), ("Ignore", [termination.EXIT_CODE]), ("Ignore", None)]
    assert spec["ttlSecondsAfterFinished"] == 3600
    assert spec["template"]["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
    pod = spec["template"]["spec"]
    assert (pod["subdomain"], pod["restartPolicy"]) == ("train", "Never")
    (container,) = pod["containers"]
    assert container["args"] == ["/mnt/i.pb"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment == {"FINETUNE_ROOT": "/mnt", "FINETUNE_WORKERS": "train-0.train:2222,train-1.train:2222"}
    assert manifests.service("train", "1")["spec"]["selector"] == {"batch.kubernetes.io/job-name": "train"}


SEARCH = ("tuning={space: {training.label_smoothing: [0, 0.1]}, trials: 8, parallel: 4}",)


def test_a_search_has_a_pod_for_each_trial_at_a_time_where_the_trainer_is():
    config = load_config(ROOT / "configs" / "flowers_gpu.yaml", [*SEARCH, "distribution.workers=1"])
    made = manifests.jobs(config, ["Tuner", "Trainer"])
    assert list(made) == ["Tuner"]
    spec = made["Tuner"]["spec"]
    assert (spec["completions"], spec["parallelism"]) == (4, 4)
    assert spec["successPolicy"] == {"rules": [{"succeededIndexes": "0"}]}
    (container,) = spec["template"]["spec"]["containers"]
    assert {"name": "FINETUNE_APART", "value": "1"} in container["env"]
    both = manifests.jobs(load_config(ROOT / "configs" / "flowers_gpu.yaml", SEARCH), ["Tuner", "Trainer"])
    trainer, tuner = (both[node]["spec"] for node in ("Trainer", "Tuner"))
    assert (trainer["completions"], tuner["completions"]) == (2, 4)
    where = [each["template"]["spec"].get("nodeSelector") for each in (trainer, tuner)]
    assert where[0] == where[1]
    (of_trainer,) = trainer["template"]["spec"]["containers"]
    (of_tuner,) = tuner["template"]["spec"]["containers"]
    assert of_tuner["resources"] == of_trainer["resources"]
    assert "FINETUNE_APART" not in {one["name"] for one in of_trainer["env"]}


@pytest.mark.parametrize("apart", [False, True])
def test_a_pod_of_a_search_is_no_worker_of_tensorflow(tmp_path: Path, apart: bool):
    """In the pod's own process, with a training that says what it was told."""
    code = """
    import os, sys
    from finetune_kubeflow.workers import pod
    training = type(sys)("finetune_kubeflow.workers.training")
    told = ("TF_CONFIG", "FINETUNE_TUNER_WORKER")
    training.train = lambda *given: print(given[1] is None, *(os.environ.get(name) for name in told))
    sys.modules["finetune_kubeflow.workers.training"] = training
    sys.exit(pod.main([sys.argv[1]]))
    """
    environment = {"FINETUNE_ROOT": str(tmp_path), "FINETUNE_WORKERS": "a:1,b:2", "JOB_COMPLETION_INDEX": "1"}
    environment |= {"FINETUNE_APART": "1"} if apart else {}
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "invocation.pb")],
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout.split()
    assert (said[0], said[-1]) == ("False", "1" if apart else "None")
    assert ("cluster" in ended.stdout) != apart


def test_a_lease_is_lost_when_nobody_renews_it(tmp_path: Path):
    lost = threading.Event()
    with lease.renewed(tmp_path / "lease", every=0.1):
        lease.watch(tmp_path / "lease", lost.set, every=0.05, lost_after=0.5)
        assert not lost.wait(1.5)
    assert lost.wait(2)


def test_a_worker_whose_task_is_gone_ends_for_good(tmp_path: Path):
    """In the pod's own process, with a training that never ends."""
    code = """
    import sys, time
    from finetune import lease
    from finetune_kubeflow.workers import pod
    lease.watch.__defaults__ = (0.1, 1.0)
    training = type(sys)("finetune_kubeflow.workers.training")
    training.train = lambda *_: time.sleep(600)
    sys.modules["finetune_kubeflow.workers.training"] = training
    sys.exit(pod.main([sys.argv[1]]))
    """
    environment = {"FINETUNE_ROOT": str(tmp_path), "FINETUNE_WORKERS": "a:1", "JOB_COMPLETION_INDEX": "0"}
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "invocation.pb")],
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    assert ended.returncode == FINAL_EXIT_CODE


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
    job = ("GET", f"{JOBS}/train")
    assert calls[:4] == [job, ("POST", JOBS), job, ("POST", f"{NAMESPACE}/services")]
    assert ("GET", f"{NAMESPACE}/pods/train-0-0/log") in calls
    assert calls[-1] == ("DELETE", f"{JOBS}/train")
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


@pytest.mark.parametrize(
    ("code", "pods", "outcome"),
    [
        (termination.EXIT_CODE, 3, None),
        (FINAL_EXIT_CODE, 2, "Job train: PodFailurePolicy: Container failed with exit code 42"),
    ],
)
def test_a_pod_that_left_costs_no_attempt_and_a_final_failure_all(
    cluster: FakeCluster, code: int, pods: int, outcome: str | None
):
    worker = f"""
    import os, pathlib, sys, time
    marker = pathlib.Path('ended-once')
    if os.environ['JOB_COMPLETION_INDEX'] == '1' and not marker.exists():
        marker.touch()
        sys.exit({code})
    while not marker.exists():
        time.sleep(0.05)
    time.sleep(1)
    """
    with pytest.raises(watch.JobError, match=outcome) if outcome else nullcontext():
        watch.run_job(api(cluster), "kubeflow", manifest(worker, backoffLimit=0), poll_seconds=0.1)
    assert len(cluster.ended) == pods


def test_a_job_that_fails_too_often_is_an_error_and_is_deleted(cluster: FakeCluster):
    with pytest.raises(RunError, match="Job train: BackoffLimitExceeded: Job has reached the specified backoff limit"):
        watch.run_job(api(cluster), "kubeflow", manifest("raise SystemExit(1)", backoffLimit=1), poll_seconds=0.1)
    assert cluster.jobs == {}


def test_what_a_killed_attempt_left_of_another_training_is_deleted_first(cluster: FakeCluster):
    left = manifest("import time; time.sleep(600)")
    left["metadata"]["annotations"] = {}
    cluster.create_job(left)
    watch.run_job(api(cluster), "kubeflow", manifest(), poll_seconds=0.1)
    job = f"{JOBS}/train"
    assert cluster.calls()[:4] == [("GET", job), ("DELETE", job), ("GET", job), ("POST", JOBS)]


@pytest.mark.parametrize("as_train_job", [False, True])
def test_a_job_that_runs_is_taken_over(cluster: FakeCluster, as_train_job: bool, capfd: pytest.CaptureFixture[str]):
    name = train_job.inner_job_name("train") if as_train_job else "train"
    left = manifest("import time; time.sleep(2); print('trained')", name)
    left["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "Pod", "name": "lost", "uid": "1"}]
    if as_train_job:
        runtime, made = train_job.manifests(left)
        cluster.custom["trainingruntimes"]["train"] = runtime
        cluster.custom["trainjobs"]["train"] = made
        cluster.create_train_job(made)
    else:
        cluster.create_job(left)
    owned = cluster.custom["trainjobs"]["train"] if as_train_job else cluster.jobs["train"]
    watch.run_job(api(cluster), "kubeflow", manifest(name=name), poll_seconds=0.1, as_train_job=as_train_job)
    assert len(cluster.ended) == 2, "no pod but those that were there"
    assert [one["uid"] for one in owned["metadata"]["ownerReferences"]] == ["1", OWNER["uid"]]
    assert capfd.readouterr().err.count("trained") == 1


@pytest.mark.parametrize("status", [503, 403, 401], ids=["away", "starting", "starting, and knows no token yet"])
def test_a_server_that_is_away_for_a_while_is_borne(
    cluster: FakeCluster, status: int, capfd: pytest.CaptureFixture[str]
):
    """The stream of the log breaks, and the two requests after that are answered with an error; twice."""
    cluster.away_with = (status, "not now")
    code = "import time\nfor line in range(30): print('line', line, flush=True); time.sleep(0.1)"
    cluster.away, cluster.cut_logs = 2, [5, 12]
    watch.run_job(api(cluster), "kubeflow", manifest(code), poll_seconds=0.1)
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("line")]
    assert lines == [f"line {number}" for number in range(30)]
    assert (cluster.away, cluster.cut_logs, len(cluster.ended)) == (0, [], 2)


def test_refusals_count_anew_after_a_server_was_away(monkeypatch: pytest.MonkeyPatch):
    clock = iter(range(0, 10_000, 50))
    pauses: list[float] = []
    monkeypatch.setattr(patience.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(patience.time, "sleep", pauses.append)
    away, starting = ConnectionError("refused"), client.ApiException(status=403, reason="Forbidden")
    answers = iter([away, away, away, starting, starting, away, starting, starting, "there"])

    def call(**_: Any) -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patience.patiently(call) == "there"
    assert pauses == [0.5, 1, 2, 0.5, 1, 2, 0.5, 1], "who starts is asked soon again"
    answers = iter([away, starting, starting, starting, "late"])
    with pytest.raises(client.ApiException, match="Forbidden"):
        patience.patiently(call)
    assert next(answers) == "late"


def test_a_server_that_stays_away_is_a_sentence_and_worth_another_attempt(cluster: FakeCluster):
    cluster.away = 1000
    with pytest.raises(RunError, match=r"the API server has not answered for 1 s: Service Unavailable") as caught:
        patience.patiently(client.BatchV1Api(api(cluster)).read_namespaced_job, "train", "kubeflow", patience=1)
    assert caught.value.worth_retrying


def test_a_job_without_pods_says_why(cluster: FakeCluster, caplog: pytest.LogCaptureFixture):
    cluster.no_pods = True
    cluster.events = ['pods "train-0" is forbidden: exceeded quota: finetune-gpus']

    def admit() -> None:
        while not any(path.endswith("/events") for _, path, _ in cluster.requests):
            time.sleep(0.05)
        time.sleep(0.3)
        cluster.no_pods = False
        for index in (0, 1):
            cluster._start("train", index)

    threading.Thread(target=admit, daemon=True).start()
    with caplog.at_level("WARNING"):
        watch.run_job(api(cluster), "kubeflow", manifest(), poll_seconds=0.1)
    told = [record.message for record in caplog.records if "exceeded quota" in record.message]
    assert told == [f"Job train has no pods: FailedCreate: {cluster.events[0]}"]


def test_sigterm_deletes_the_job(cluster: FakeCluster, tmp_path: Path):
    (tmp_path / "job.json").write_text(json.dumps(manifest("import time; time.sleep(600)")))
    code = """
    import json, pathlib, sys
    from kubernetes import config
    from finetune import termination
    from finetune_kubeflow.workers.watch import run_job
    termination.listen()
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
        ("GET", f"{TRAINER}/trainjobs/train"),
        ("GET", f"{TRAINER}/trainingruntimes/train"),
        ("POST", f"{TRAINER}/trainingruntimes"),
        ("POST", f"{TRAINER}/trainjobs"),
    ]
    assert ("GET", f"{NAMESPACE}/pods/train-node-0-0-0/log") in calls
    assert calls[-2:] == [("DELETE", f"{TRAINER}/{kind}/train") for kind in ("trainjobs", "trainingruntimes")]
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
    assert cluster.custom == {"trainingruntimes": {}, "trainjobs": {}}


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


def test_a_refusal_that_lasts_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(patience, "REFUSAL_SECONDS", 0.5)
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
    cluster.custom = {kind: {"train": {"metadata": {}}} for kind in cluster.custom}
    watch._TrainJob(api(cluster), "kubeflow", wrapped).own([])
    cluster.create_job(manifest())
    watch._Job(api(cluster), "kubeflow", manifest()).own([])
    documents = yaml.safe_load_all((ROOT / "kubeflow" / "manifests" / "base" / "rbac.yaml").read_text())
    role = next(one for one in documents if one["kind"] == "Role")
    allowed = {(name, verb) for rule in role["rules"] for name in rule["resources"] for verb in rule["verbs"]}
    assert {_right(method, path) for method, path in cluster.calls()} == allowed


def _right(method: str, path: str) -> tuple[str, str]:
    """Resource and verb of a request, as RBAC names them."""
    resource, *rest = path.split("/namespaces/kubeflow/")[1].split("/")
    verb = {"POST": "create", "DELETE": "delete", "PATCH": "patch"}.get(method, "get" if rest else "list")
    return f"{resource}/{rest[1]}" if len(rest) == 2 else resource, verb

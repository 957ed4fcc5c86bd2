"""The role of kubeflow/manifests/base/rbac.yaml is enough for workers, and each right that lacks is named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import ROOT
from control_plane import NAMESPACE, ControlPlane, wait_for
from go_programs import module_folder
from kubernetes import client
from pod_player import PodPlayer
from real_jobs import worker_job

from finetune.errors import RunError
from finetune_kubeflow.workers import patience, train_job, watch

FILE = ROOT / "kubeflow" / "manifests" / "base" / "rbac.yaml"
ACCOUNT, ROLE, *BINDINGS = yaml.safe_load_all(FILE.read_text())
Right = tuple[str, str, str]


def rights(rules: list[Any]) -> set[Right]:
    """Group, resource and verb."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.fixture(scope="module")
def account(control_plane: ControlPlane) -> Path:
    """The kubeconfig of the account of runs."""
    done = control_plane.kubectl("-n", NAMESPACE, "apply", "--server-side", "--warnings-as-errors", "-f", FILE)
    assert done.returncode == 0, done.stderr
    crds = module_folder("trainer", "github.com/kubeflow/trainer/v2") / "manifests" / "base" / "crds"
    assert control_plane.kubectl("apply", "--server-side", "-k", crds).returncode == 0
    names = [f"crd/{kind}.{train_job.GROUP}" for kind in (train_job.RUNTIMES, train_job.TRAIN_JOBS)]
    assert control_plane.kubectl("wait", "--for=condition=established", *names).returncode == 0
    return control_plane.account(NAMESPACE, ACCOUNT["metadata"]["name"])


@pytest.fixture(scope="module")
def player(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodPlayer]:
    with PodPlayer(control_plane, tmp_path_factory.mktemp("pods")) as playing:
        yield playing


def granted(control_plane: ControlPlane, account: Path) -> set[Right]:
    """What the account may do, by the API server's own word, less what everybody may."""
    api = client.AuthorizationV1Api(control_plane.api(account))
    answer = api.create_self_subject_rules_review({"spec": {"namespace": NAMESPACE}}).status
    found = rights(
        [{"apiGroups": r.api_groups, "resources": r.resources, "verbs": r.verbs} for r in answer.resource_rules]
    )
    return {(group, *rest) for group, *rest in found if not group.endswith("k8s.io")}


def grant(control_plane: ControlPlane, account: Path, wanted: set[Right]) -> None:
    """Has the role grant these rights, and waits until the API server knows."""
    rules = [
        {"apiGroups": [group], "resources": [resource], "verbs": [verb]} for group, resource, verb in sorted(wanted)
    ]
    role = {**ROLE, "metadata": {**ROLE["metadata"], "namespace": NAMESPACE}, "rules": rules}
    assert control_plane.apply(role, "--force-conflicts") == ""
    wait_for(lambda: granted(control_plane, account) == wanted, 30)


def forbidden_job(control_plane: ControlPlane) -> dict[str, Any]:
    """A Job whose pods the namespace does not admit, and which fails after a while."""
    job = worker_job(control_plane, "pass", activeDeadlineSeconds=4)
    del job["spec"]["template"]["spec"]["securityContext"]["seccompProfile"]
    return job


def do_everything(control_plane: ControlPlane, account: Path) -> list[str]:
    """Does all that a task may have to do about workers; returns what it was told, and what was raised."""
    api = control_plane.api(account)
    said: list[str] = []
    job = worker_job(control_plane, "import time; print('worker'); time.sleep(1)")
    left = {**job, "metadata": {**job["metadata"], "ownerReferences": [], "namespace": NAMESPACE}}
    assert control_plane.apply(left) == ""
    for made, as_train_job in ((job, False), (forbidden_job(control_plane), False), (job, True)):
        try:
            if as_train_job:
                inner = train_job.inner_job_name(made["metadata"]["name"])
                both = watch._TrainJob(api, NAMESPACE, {**made, "metadata": {**made["metadata"], "name": inner}})
                with watch._sentences():
                    try:
                        assert both.found() is None
                        both.create()
                        both.own(made["metadata"]["ownerReferences"])
                    finally:
                        both.delete()
            else:
                watch.run_job(api, NAMESPACE, made, poll_seconds=0.2)
        except RunError as error:
            said.append(str(error))
    return said


def clean(control_plane: ControlPlane) -> None:
    kinds = "jobs,services,trainjobs,trainingruntimes"
    assert control_plane.kubectl("-n", NAMESPACE, "delete", kinds, "--all", "--cascade=background").returncode == 0


def named(texts: list[str]) -> set[Right]:
    """The rights that the API server says are lacking."""
    pattern = r'cannot (\w+) resource \\?"([\w/]+)\\?" in API group \\?"([\w.]*)\\?"'
    return {(group, resource, verb) for text in texts for verb, resource, group in re.findall(pattern, text)}


def test_what_the_role_grants_is_enough_and_all_that_there_is(
    control_plane: ControlPlane,
    account: Path,
    player: PodPlayer,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
):
    grant(control_plane, account, rights(ROLE["rules"]))
    with caplog.at_level("WARNING"):
        said = do_everything(control_plane, account)
    assert len(said) == 1
    assert "DeadlineExceeded" in said[0]
    assert named(caplog.messages) == set()
    assert any('violates PodSecurity "restricted' in message for message in caplog.messages)
    assert capfd.readouterr().err.count("worker\n") == 1
    clean(control_plane)


@pytest.mark.parametrize("right", sorted(rights(ROLE["rules"])), ids=" ".join)
def test_a_right_that_lacks_is_named(
    control_plane: ControlPlane,
    account: Path,
    player: PodPlayer,
    right: Right,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(patience, "REFUSAL_SECONDS", 0)
    grant(control_plane, account, rights(ROLE["rules"]) - {right})
    with caplog.at_level("WARNING"):
        said = do_everything(control_plane, account)
    assert named([*said, *caplog.messages]) == {right}
    clean(control_plane)

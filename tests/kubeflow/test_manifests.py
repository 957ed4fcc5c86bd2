"""Every manifest and the worker Job against the OpenAPI schemas of Kubernetes, offline; and what each file must say."""

from __future__ import annotations

import copy
import re
import subprocess
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import ROOT
from flink_schema import FLINK_DEPLOYMENT

from finetune.config import load_config
from finetune.config.beam import BeamRunner
from finetune_kubeflow.workers import manifests
from pipeline.beam.arguments import beam_arguments
from pipeline.metadata_connection import METADATA_ENV

validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate brings the schemas of Kubernetes")

jsonschema = pytest.importorskip("jsonschema", reason="kubernetes-validate brings jsonschema")

MANIFESTS = ROOT / "kubeflow" / "manifests"
DOCS = ROOT / "docs" / "kubernetes.md"
FILES = sorted(MANIFESTS.rglob("*.yaml"))
OLDEST = (1, 28)


def versions() -> list[str]:
    """All versions of Kubernetes that there are schemas for, from 1.28."""
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema"
    found = {
        tuple(map(int, one.name[1:].split("-")[0].split(".")[:2])) for one in folder.iterdir() if one.name[0] == "v"
    }
    return [f"{major}.{minor}" for major, minor in sorted(found) if (major, minor) >= OLDEST]


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in FILES:
        if file.name != "kustomization.yaml":
            for document in yaml.safe_load_all(file.read_text()):
                yield f"{file.name}:{document['kind']}/{document['metadata']['name']}", document
    config = load_config(ROOT / "configs" / "flowers_gpu.yaml")
    template = manifests.job(config, "Trainer")
    owner = {"name": "pod", "uid": "1"}
    job = manifests.named_job(template, "train", owner, "/finetune", "/finetune/i.pb")
    yield "worker Job", job
    (copy_pod,) = re.findall(r"(?m)^   kubectl apply -f - <<'END'\n(.*?)^   END$", DOCS.read_text(), re.DOTALL)
    yield "the docs' copy pod", yaml.safe_load(copy_pod)
    yield "worker Service", manifests.service("train", "1")


DOCUMENTS = dict(documents())


def test_there_are_schemas_from_1_28_on():
    assert versions()[0] == "1.28"
    assert len(versions()) >= 5


# Servers that do not know a field yet drop it: the Job then waits for all workers, as it did before.
SINCE = {"successPolicy": (1, 30)}
OF_KUBERNETES = [name for name, document in DOCUMENTS.items() if document["kind"] != "FlinkDeployment"]


@pytest.mark.parametrize("name", OF_KUBERNETES)
def test_it_is_valid(name: str):
    for version in versions():
        document = copy.deepcopy(DOCUMENTS[name])
        for field, since in SINCE.items():
            if tuple(map(int, version.split("."))) < since:
                document.get("spec", {}).pop(field, None)
        if version == "1.28":  # whose schema, unlike its server, wants both kinds of conditions in every rule
            for rule in document.get("spec", {}).get("podFailurePolicy", {}).get("rules", []):
                rule.setdefault("onPodConditions", [])
        validate.validate(document, version, strict=True)


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """The specification of every pod that a manifest or the worker Job makes."""
    for name, document in DOCUMENTS.items():
        if document["kind"] == "Pod":
            yield name, document["spec"]
        if document["kind"] in ("StatefulSet", "Job"):
            yield name, document["spec"]["template"]["spec"]
        if document["kind"] == "FlinkDeployment":
            yield name, document["spec"]["podTemplate"]["spec"]
            yield f"{name}'s task manager", document["spec"]["taskManager"]["podTemplate"]["spec"]


def violations(spec: dict[str, Any]) -> list[str]:
    """What the restricted Pod Security Standard forbids in a pod, of what our pods have.

    https://kubernetes.io/docs/concepts/security/pod-security-standards
    """
    found = [f"{field}: true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    allowed = {"name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected"}
    allowed |= {"secret"}
    found += [f"volume {volume['name']}" for volume in spec.get("volumes", []) if not set(volume) <= allowed]
    of_pod = spec.get("securityContext", {})
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        own = {**of_pod, **container.get("securityContext", {})}
        wanted = {
            "runAsNonRoot": own.get("runAsNonRoot") is True,
            "runAsUser": own.get("runAsUser") != 0,
            "seccompProfile": own.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities": own.get("capabilities", {}).get("drop") == ["ALL"] and not own["capabilities"].get("add"),
            "privileged": not own.get("privileged"),
            "ports": not any("hostPort" in port for port in container.get("ports", [])),
        }
        found += [f"{container['name']}: {field}" for field, holds in wanted.items() if not holds]
    return found


@pytest.mark.parametrize("name", dict(pods()))
def test_a_namespace_that_enforces_the_restricted_standard_admits_the_pod(name: str):
    assert violations(dict(pods())[name]) == []


@pytest.mark.parametrize("field", ["runAsNonRoot", "seccompProfile"])
def test_a_pod_that_the_standard_forbids_is_noticed(field: str):
    spec = copy.deepcopy(dict(pods())["worker Job"])
    del spec["securityContext"][field]
    assert violations(spec) == [f"node: {field}"]


def test_the_flink_cluster_is_valid_and_its_pods_are():
    flink = DOCUMENTS["flink.yaml:FlinkDeployment/finetune-flink"]
    jsonschema.validate(flink, FLINK_DEPLOYMENT)
    pod = copy.deepcopy(flink["spec"]["taskManager"]["podTemplate"])
    pod["spec"]["containers"][0]["image"] = flink["spec"]["image"]
    for version in versions():
        validate.validate(pod, version, strict=True)
    flink["spec"]["taskManager"]["replica"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(flink, FLINK_DEPLOYMENT)


def test_the_worker_pool_is_where_beam_looks_for_it_and_has_what_the_nodes_have():
    (flink,) = yaml.safe_load_all((MANIFESTS / "overlays" / "flink" / "flink.yaml").read_text())
    spec = flink["spec"]["taskManager"]["podTemplate"]["spec"]
    pool = next(container for container in spec["containers"] if container["name"] == "worker-pool")
    arguments = beam_arguments(BeamRunner(runner="flink", args=["--flink_master=finetune-flink-rest:8081"]))
    port = pool["command"][-1].removeprefix("--service_port=")
    assert f"--environment_config=localhost:{port}" in arguments
    settings = load_config(ROOT / "configs" / "digits.yaml").kubernetes
    assert pool["image"] == settings.defaults.image
    assert spec["volumes"][0]["persistentVolumeClaim"]["claimName"] == settings.volume.claim
    for container in spec["containers"]:
        assert container["volumeMounts"] == [{"name": "shared", "mountPath": settings.volume.mount_path}]


@pytest.mark.parametrize("writable", [True, False])
def test_the_job_that_owns_the_volume_says_whether_tasks_can_write(writable: bool, tmp_path: Path):
    job = DOCUMENTS["volume-owner.yaml:Job/finetune-volume-owner"]
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    settings = load_config(ROOT / "configs" / "digits.yaml").kubernetes
    assert container["image"] == settings.defaults.image
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == settings.volume.claim
    assert container["volumeMounts"] == [{"name": "shared", "mountPath": settings.volume.mount_path}]
    (user,) = re.findall(r"(?m)^USER (\d+):\1$", (ROOT / "kubeflow" / "Dockerfile").read_text())
    assert {pod["securityContext"][one] for one in ("runAsUser", "runAsGroup", "fsGroup")} == {int(user)}
    *shell, script = container["command"]
    folder = tmp_path if writable else tmp_path / "absent"
    command = [*shell, script.replace("/finetune/", f"{folder}/")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == (0 if writable else 1)
    assert ("tasks can write" in ran.stdout, "does not look at fsGroup" in ran.stderr) == (writable, not writable)
    assert not list(tmp_path.iterdir())


def test_the_database_is_known_by_its_bytes_watched_and_reached_by_its_namespace_alone():
    database = DOCUMENTS["mysql.yaml:StatefulSet/finetune-mysql"]["spec"]["template"]
    policy = DOCUMENTS["mysql.yaml:NetworkPolicy/finetune-mysql"]["spec"]
    (container,) = database["spec"]["containers"]
    assert re.search(r"@sha256:[0-9a-f]{64}$", container["image"])
    # It is not ended while it is busy.
    assert container["livenessProbe"]["failureThreshold"] * container["livenessProbe"]["periodSeconds"] >= 120
    assert policy["podSelector"]["matchLabels"].items() <= database["metadata"]["labels"].items()
    (port,) = container["ports"]
    assert policy["ingress"] == [{"from": [{"podSelector": {}}], "ports": [{"port": port["containerPort"]}]}]
    assert (policy["policyTypes"], policy["egress"]) == (["Ingress", "Egress"], [])


def test_a_wrong_key_is_noticed():
    wrong = manifests.service("train", "1")
    wrong["spec"]["clusterIp"] = wrong["spec"].pop("clusterIP")
    with pytest.raises(validate.ValidationError):
        validate.validate(wrong, versions()[-1], strict=True)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(MANIFESTS)))
def test_each_file_opens_with_its_commands(file: Path):
    head = file.read_text().split("\napiVersion:")[0]
    assert all(f"\n# {word}" in head for word in ("Apply:", "Check:", "Clean up:"))


def test_the_kustomizations_name_files_that_are_there():
    for file in FILES:
        if file.name == "kustomization.yaml":
            for resource in yaml.safe_load(file.read_text())["resources"]:
                assert (file.parent / resource).exists(), f"{file}: {resource}"


def test_the_names_are_those_that_configs_default_to():
    settings = load_config(ROOT / "configs" / "digits.yaml").kubernetes
    by_kind = {document["kind"]: document for document in DOCUMENTS.values()}
    assert by_kind["PersistentVolumeClaim"]["metadata"]["name"] == settings.volume.claim
    assert by_kind["ServiceAccount"]["metadata"]["name"] == settings.service_account
    assert by_kind["Namespace"]["metadata"]["name"] == settings.namespace
    secret = by_kind["Secret"]
    assert secret["metadata"]["name"] == settings.metadata_secret
    assert set(secret["stringData"]) == set(METADATA_ENV.values())
    assert secret["stringData"]["password"] == ""
    assert secret["stringData"]["host"] == by_kind["StatefulSet"]["metadata"]["name"]


def test_no_kustomization_holds_a_secret():
    for file in FILES:
        if file.name == "kustomization.yaml":
            assert "secret" not in file.read_text().split("\napiVersion:")[1].lower()

"""Packages against the protos of releases of KFP, which parse a package as strictly as their servers do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from command_line import ROOT, finetune

pytestmark = pytest.mark.long

# Those of docs/kubernetes.md.
RELEASES = ("2.14.0", "2.14.3", "2.15.0", "2.16.1", "2.17.0", "2.17.3")

PARSE = """
import importlib.util, json, sys
sys.path[:0] = sys.argv[1:3]
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
# kfp.kubernetes itself imports the SDK.
path = sys.argv[2] + "/kfp/kubernetes/kubernetes_executor_config_pb2.py"
spec = importlib.util.spec_from_file_location("kubernetes_executor_config_pb2", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
pipeline, platform = json.load(sys.stdin)
json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())
for config in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
    json_format.ParseDict(config, module.KubernetesExecutorConfig())
"""


@pytest.fixture(scope="module")
def protos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each release, and one of protobuf."""
    pip = shutil.which("pip") or pytest.skip("no pip on PATH to fetch the releases with")
    folder = tmp_path_factory.mktemp("protos")
    wanted = {release: [f"kfp-kubernetes=={release}", f"kfp-pipeline-spec=={release}"] for release in RELEASES}
    wanted["protobuf"] = ["protobuf==6.33.6", "googleapis-common-protos==1.70.0"]
    for name, packages in wanted.items():
        command = [pip, "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(folder / "wheels" / name)]
        done = subprocess.run([*command, *packages], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"the package index cannot be reached: {done.stderr.strip()[-200:]}")
        for wheel in (folder / "wheels" / name).iterdir():
            zipfile.ZipFile(wheel).extractall(folder / name)
    return folder


@pytest.fixture(
    scope="module",
    params=[("digits",), ("flowers_gpu",), ("digits", "--retrain"), ("flowers_gpu", "--retrain")],
    ids=["digits", "flowers_gpu", "digits-recurring", "flowers_gpu-recurring"],
)
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list:
    """A package as its two documents: of a single run, or of one that comes again and decides first."""
    recipe, *options = request.param
    file = tmp_path_factory.mktemp("package") / "package.yaml"
    compiled = finetune("compile", ROOT / "configs" / f"{recipe}.yaml", *options, "-o", file, cwd=file.parent)
    assert compiled.returncode == 0, compiled.stderr
    return list(yaml.safe_load_all(file.read_text()))


def parse(protos: Path, release: str, documents: list) -> str:
    """What the protos of a release object to."""
    command = [sys.executable, "-I", "-S", "-c", PARSE, str(protos / "protobuf"), str(protos / release)]
    done = subprocess.run(command, input=json.dumps(documents), capture_output=True, text=True, check=False)
    return done.stderr


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_takes_the_package(protos: Path, package: list, release: str):
    assert parse(protos, release, package) == ""


def test_a_field_that_a_release_does_not_know_is_noticed(protos: Path, package: list):
    pipeline, platform = json.loads(json.dumps(package))
    for config in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        config["secretAsEnv"][0]["optional"] = False
    assert 'no field named "optional"' in parse(protos, "2.14.3", [pipeline, platform])
    assert parse(protos, "2.15.0", [pipeline, platform]) == ""

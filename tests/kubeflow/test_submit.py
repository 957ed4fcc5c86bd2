"""Submit and schedule, through kfp's client against a locally served API."""

import json
from pathlib import Path

import pytest
from command_line import finetune
from fake_kfp import FakeKfp
from kfp import compiler, dsl

from finetune.errors import ConfigError, RunError
from finetune_kubeflow.client import submit


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    @dsl.container_component
    def component(seed: int):
        return dsl.ContainerSpec(image="x", command=["x"], args=[seed])

    @dsl.pipeline(name="made")
    def pipeline(seed: int = 1, root: str = "x"):
        component(seed=seed)

    file = tmp_path_factory.mktemp("package") / "made.yaml"
    compiler.Compiler().compile(pipeline, str(file))
    return file


def request(package: Path, cron: str | None = None, **parameters: str) -> submit.Request:
    return submit.request(package, "team", "runner", parameters, cron)


def test_a_package_is_uploaded_and_run_once(package: Path):
    made = request(package, seed="5")
    with FakeKfp() as kfp:
        run_id, link = submit.Server(kfp.host, "team").run(package, made)
        assert (run_id, link) == ("runs-1", f"{kfp.host}/#/runs/details/runs-1")
        (upload,) = kfp.sent("POST", "pipelines/upload_version")
        assert package.read_text() in upload
        (run,) = kfp.sent("POST", "runs")
        assert run["display_name"] == made.version
        assert run["experiment_id"] == "experiments-1"
        assert run["service_account"] == "runner"
        assert run["runtime_config"]["parameters"] == {"seed": 5}
        reference = {"pipeline_id": "pipelines-1", "pipeline_version_id": "versions-1"}
        assert run["pipeline_version_reference"] == reference
        (experiment,) = kfp.sent("POST", "experiments")
        assert (experiment["display_name"], experiment["namespace"]) == ("made", "team")


def test_the_same_package_is_not_uploaded_again(package: Path):
    with FakeKfp() as kfp:
        server = submit.Server(kfp.host, "team")
        assert server.upload(package, request(package)) == server.upload(package, request(package))
        assert len(kfp.sent("POST", "pipelines/upload")) == 1
        assert len(kfp.sent("POST", "pipelines/upload_version")) == 1


def test_a_run_is_followed_to_its_end(package: Path):
    seen: list[str] = []
    with FakeKfp(states=("PENDING", "RUNNING", "RUNNING", "FAILED")) as kfp:
        server = submit.Server(kfp.host, "team")
        run_id, _ = server.run(package, request(package))
        assert server.follow(run_id, seen.append, poll_seconds=0) == "FAILED"
    assert seen == ["PENDING", "RUNNING", "FAILED"]


def test_a_schedule_replaces_the_earlier_one(package: Path):
    with FakeKfp() as kfp:
        server = submit.Server(kfp.host, "team")
        server.schedule(package, request(package, cron="0 3 * * 1"))
        schedule_id, link = server.schedule(package, request(package, cron="0 4 * * 1"))
        assert link == f"{kfp.host}/#/recurringrun/details/{schedule_id}"
        (left,) = kfp.stored["recurringruns"]
        assert left["trigger"]["cron_schedule"]["cron"] == "0 0 4 * * 1"
        assert (left["max_concurrency"], left["no_catchup"], left["mode"]) == (1, True, "ENABLE")
        assert left["service_account"] == "runner"


@pytest.mark.parametrize(
    ("status", "message", "sentence"),
    [
        (400, "Invalid input error\nat server.go:1", r"refused \(400\): Invalid input error\.$"),
        (401, "Unauthorized", "Set KF_PIPELINES_TOKEN"),
        (403, "User is not allowed", "has no right to that in this namespace"),
    ],
)
def test_what_the_server_refuses_is_a_sentence(package: Path, status: int, message: str, sentence: str):
    with FakeKfp(refuse=(status, message)) as kfp, pytest.raises(RunError, match=sentence):
        submit.Server(kfp.host, "team").run(package, request(package))


def test_a_server_that_is_not_there_is_a_sentence(package: Path):
    with FakeKfp() as kfp:
        host = kfp.host
    with pytest.raises(RunError, match=rf"{host} cannot be reached: .*port-forward"):
        submit.Server(host, "team").run(package, request(package))


def test_the_token_goes_into_a_header_and_nowhere_else(package: Path, capsys: pytest.CaptureFixture[str]):
    with FakeKfp() as kfp:
        submit.Server(kfp.host, "team", token="s3cret").run(package, request(package))
        assert {headers.get("authorization") or headers.get("Authorization") for headers in kfp.headers} == {
            "Bearer s3cret"
        }
        assert "s3cret" not in json.dumps(kfp.requests)
    assert "s3cret" not in "".join(capsys.readouterr())


def test_wrong_parameters_and_crons_are_all_said(package: Path):
    with pytest.raises(ConfigError) as caught:
        request(package, cron="daily", seed="five", rot="x")
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "--parameter rot",
        "--parameter seed",
        "--cron",
    ]


@pytest.mark.long
def test_the_command_line_sends_only_when_told(tiny: Path):
    """Compiles three times, each time loading TFX."""
    with FakeKfp() as kfp:
        arguments = ("tiny.yaml", "training.seed=2", "--host", kfp.host, "-p", "data_root=other")
        dry = finetune("submit", *arguments, cwd=tiny)
        assert dry.returncode == 0, dry.stderr
        shown = json.loads(dry.stdout)
        assert (shown["host"], shown["parameters"]) == (kfp.host, {"data_root": "other"})
        assert kfp.requests == []

        sent = finetune("submit", *arguments, "--send", "--no-follow", cwd=tiny)
        assert sent.returncode == 0, sent.stderr
        assert sent.stdout.splitlines() == ["run runs-1", f"{kfp.host}/#/runs/details/runs-1"]
        assert kfp.stored["versions"][0]["display_name"] == shown["version"]

        scheduled = finetune("schedule", "tiny.yaml", "--cron", "0 3 * * *", "--host", kfp.host, "--send", cwd=tiny)
        assert scheduled.returncode == 0, scheduled.stderr
        assert kfp.stored["recurringruns"][0]["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"

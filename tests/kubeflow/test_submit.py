"""Submit and schedule, through kfp's client against a locally served API."""

import json
from pathlib import Path

import pytest
from command_line import finetune
from fake_kfp import FakeKfp
from kfp import compiler, dsl, kubernetes
from typer.testing import CliRunner

from finetune.errors import ConfigError, RunError
from finetune.events import RunEnded, to_line
from finetune_cli.main import app
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
        run_id, link = submit.Server(submit.Access(kfp.host), "team").run(package, made)
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
        server = submit.Server(submit.Access(kfp.host), "team")
        assert server.upload(package, request(package)) == server.upload(package, request(package))
        assert len(kfp.sent("POST", "pipelines/upload")) == 1
        assert len(kfp.sent("POST", "pipelines/upload_version")) == 1


def test_a_run_is_followed_to_its_end(package: Path):
    seen: list[str] = []
    with FakeKfp(states=("PENDING", "RUNNING", "RUNNING", "FAILED")) as kfp:
        server = submit.Server(submit.Access(kfp.host), "team")
        run_id, _ = server.run(package, request(package))
        assert server.follow(run_id, seen.append, poll_seconds=0) == 1
    assert seen == ["PENDING", "RUNNING", "FAILED"]


def ended(code: int) -> str:
    """The log of a task whose run has an answer."""
    return f"a line\n{to_line(RunEnded(exit_code=code))}\n"


@pytest.mark.parametrize(
    ("state", "logs", "code"),
    [
        ("SUCCEEDED", {"driver": "", "pusher": ended(0), "trainer": "a line"}, 0),
        ("SUCCEEDED", {"pusher": ended(3)}, 3),
        ("SUCCEEDED", {"pusher": ended(4), "trainer": ended(1)}, 4),
        ("FAILED", {"gate": ended(3)}, 3),
        ("FAILED", {"pusher": ended(0), "trainer": ended(2)}, 2),
        ("CANCELED", {"trainer": "a line"}, 1),
    ],
)
def test_the_exit_code_is_that_of_a_local_run(package: Path, state: str, logs: dict[str, str], code: int):
    with FakeKfp(states=(state,)) as kfp:
        server = submit.Server(submit.Access(kfp.host, token="s3cret"), "team")
        run_id, _ = server.run(package, request(package))
        kfp.logs = logs
        assert server.follow(run_id, lambda state: None, poll_seconds=0) == code
        assert kfp.headers[-1]["authorization"] == "Bearer s3cret"


def test_a_success_whose_log_is_gone_is_not_called_a_push(package: Path):
    with FakeKfp(states=("SUCCEEDED",)) as kfp:
        server = submit.Server(submit.Access(kfp.host), "team")
        run_id, _ = server.run(package, request(package))
        with pytest.raises(RunError, match="whether its model was pushed cannot be said"):
            server.follow(run_id, lambda state: None, poll_seconds=0)


def test_a_port_forward_that_breaks_is_borne(package: Path):
    with FakeKfp(states=("RUNNING", "SUCCEEDED")) as kfp:
        server = submit.Server(submit.Access(kfp.host), "team")
        run_id, _ = server.run(package, request(package))
        kfp.logs = {"pusher": ended(0)}

        def unplug(state: str) -> None:
            kfp.away = 10 if state == "RUNNING" else 0  # each look is tried four times

        assert server.follow(run_id, unplug, poll_seconds=0) == 0
        kfp.away = 1000
        with pytest.raises(RunError, match="cannot be reached"):
            server.follow(run_id, unplug, poll_seconds=0, patience=0)


def test_a_pod_sends_the_token_that_is_mounted(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "token").write_text("mounted")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    with FakeKfp() as kfp:
        submit.Server(submit.Access(kfp.host, cookies="session=a"), "team").run(package, request(package))
        headers = {name.lower(): value for name, value in kfp.headers[-1].items()}
        assert (headers["authorization"], headers["cookie"]) == ("Bearer mounted", "session=a")
        submit.Server(submit.Access(kfp.host, token="given"), "team").run(package, request(package))
        assert {name.lower(): value for name, value in kfp.headers[-1].items()}["authorization"] == "Bearer given"


@pytest.mark.parametrize(
    ("access", "link"),
    [
        (submit.Access("http://localhost:8888"), "http://localhost:8080/#/runs/details/1"),
        (submit.Access("https://kubeflow.example/pipeline/"), "https://kubeflow.example/pipeline/#/runs/details/1"),
        (submit.Access("http://localhost:8888", interface="https://ui/"), "https://ui/#/runs/details/1"),
    ],
)
def test_links_open_in_the_interface(access: submit.Access, link: str):
    assert access.link("runs/details/1") == link


def test_schedules_are_listed_paused_resumed_and_deleted(package: Path):
    with FakeKfp() as kfp:
        submit.Server(submit.Access(kfp.host), "team").schedule(package, request(package, cron="0 3 * * 1"))
        id = kfp.stored["recurringruns"][0]["recurring_run_id"]

        def schedules(*arguments: str) -> tuple[int, str]:
            ran = CliRunner().invoke(app, ["schedules", *arguments, "--host", kfp.host])
            return ran.exit_code, ran.stdout or ran.stderr

        assert schedules("list") == (0, f"made\t{id}\t0 0 3 * * 1\tactive\n")
        assert schedules("pause", "made") == (0, f"paused made ({id})\n")
        assert schedules("list") == (0, f"made\t{id}\t0 0 3 * * 1\tpaused\n")
        assert schedules("resume", id) == (0, f"resumed made ({id})\n")
        assert schedules("pause", "other") == (2, f"schedule: got 'other'; expected one of made ({id}).\n")
        assert schedules("delete", "made") == (0, f"deleted made ({id})\n")
        assert schedules("list") == (0, "")


def test_a_schedule_replaces_the_earlier_one(package: Path):
    with FakeKfp() as kfp:
        server = submit.Server(submit.Access(kfp.host), "team")
        server.schedule(package, request(package, cron="0 3 * * 1"))
        schedule_id, link = server.schedule(package, request(package, cron="0 4 * * 1"))
        assert link == f"{kfp.host}/#/recurringrun/details/{schedule_id}"
        (left,) = kfp.stored["recurringruns"]
        assert left["trigger"]["cron_schedule"]["cron"] == "0 0 4 * * 1"
        assert (left["max_concurrency"], left["no_catchup"], left["mode"]) == (1, True, "ENABLE")
        assert left["service_account"] == "runner"


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    @dsl.container_component
    def component():
        return dsl.ContainerSpec(image="x", command=["x"])

    @dsl.pipeline(name="labelled")
    def pipeline():
        kubernetes.add_pod_label(component(), "kueue.x-k8s.io/queue-name", "gpus")

    file = tmp_path_factory.mktemp("package") / "labelled.yaml"
    compiler.Compiler().compile(pipeline, str(file))
    return file


@pytest.mark.parametrize(("tag", "who"), [("2.5.0", "release is 2.5.0"), ("", "does not say"), ("dev", "is dev")])
def test_what_a_release_would_silently_drop_is_refused_before_anything_is_sent(labelled, package, tag, who):
    with FakeKfp() as kfp:
        kfp.tag = tag
        server = submit.Server(submit.Access(kfp.host), "team")
        for send, cron in ((server.run, None), (server.schedule, "0 3 * * 1")):
            with pytest.raises(ConfigError, match=rf"queue-name\), and the server.*{who}.*silently dropped"):
                send(labelled, request(labelled, cron=cron))
        assert [one for one in kfp.requests if one[0] == "POST"] == []
        server.run(package, request(package))
        assert len(kfp.sent("POST", "runs")) == 1, "what has none is sent"


@pytest.mark.parametrize(("tag", "other"), [("2.16.1", True), ("2.17.0", False), ("2.20.3", False), ("", True)])
def test_a_schedule_that_runs_as_another_account_is_told(package: Path, tag: str, other: bool):
    with FakeKfp() as kfp:
        kfp.tag = tag
        server = submit.Server(submit.Access(kfp.host), "team")
        told = server.about_account(request(package, cron="0 3 * * 1"))
        assert ("have the account 'pipeline-runner', not 'runner'" in told) is other
        # Such a server takes any account of a single run; later ones take those that they list.
        expected = "" if other else "it takes 'runner' only where ALLOWEDSERVICEACCOUNTS"
        assert expected in server.about_account(request(package))
        assert bool(server.about_account(request(package))) is not other
        own = submit.request(package, "team", "pipeline-runner", {})
        assert server.about_account(own) == ""
        assert [one for one in kfp.requests if one[0] == "POST"] == []


@pytest.mark.parametrize(
    ("status", "message", "sentence"),
    [
        (400, "Invalid input error\nat server.go:1", r"refused \(400\): Invalid input error\.$"),
        (401, "Unauthorized", "Set KF_PIPELINES_TOKEN"),
        (403, "User is not allowed", "has no right to that in this namespace"),
        (
            400,
            "service account runner is not allowed",
            "Have ALLOWEDSERVICEACCOUNTS of its deployment ml-pipeline list",
        ),
    ],
)
def test_what_the_server_refuses_is_a_sentence(package: Path, status: int, message: str, sentence: str):
    with FakeKfp(refuse=(status, message)) as kfp, pytest.raises(RunError, match=sentence):
        submit.Server(submit.Access(kfp.host), "team").run(package, request(package))


def test_a_server_that_is_not_there_is_a_sentence(package: Path):
    with FakeKfp() as kfp:
        host = kfp.host
    with pytest.raises(RunError, match=rf"{host} cannot be reached: .*port-forward"):
        submit.Server(submit.Access(host), "team").run(package, request(package))


def test_the_token_goes_into_a_header_and_nowhere_else(package: Path, capsys: pytest.CaptureFixture[str]):
    with FakeKfp() as kfp:
        submit.Server(submit.Access(kfp.host, token="s3cret"), "team").run(package, request(package))
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

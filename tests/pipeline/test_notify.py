"""A webhook on a real socket is told how a run ended; one that is down, slow or mean delays and fails nothing."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from finetune.artifacts.findings import GateResult
from finetune.artifacts.run_summary import ComponentRun, RunSummary
from finetune.config.notify import NotifyConfig
from finetune.errors import RunError
from finetune.events import Note
from finetune_cli.main import app
from pipeline.notify import delivery
from pipeline.notify.delivery import FOLDER, ID_HEADER, SECRET_ENV, SIGNATURE_HEADER, send
from pipeline.notify.message import failure_of, message_of
from pipeline.notify.told import told
from pipeline.only_run import only_run

SECRET = "correct horse battery staple"


class Hook:
    """A web server that answers as `answers` says, 200 when that is empty, and keeps what it got."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int | str] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append((dict(self.headers.items()), body))
                answer = hook.answers.pop(0) if hook.answers else 200
                if answer == "hang":
                    time.sleep(1)
                elif answer == "drip":
                    for letter in b"HTTP/1.0 200 " + b"x" * 40:
                        self.wfile.write(bytes([letter]))
                        time.sleep(0.1)
                elif answer == "noise":
                    self.wfile.write(b"\0\1\2 no HTTP at all\n\n")
                else:
                    self.send_response(int(answer))
                    self.send_header("Location", f"http://127.0.0.1:{hook.port}/elsewhere")
                    self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def bodies(self) -> list[dict]:
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_PAUSES", (0.01, 0.01))
    monkeypatch.delenv(SECRET_ENV, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def config_for(hook: Hook, **more: object) -> NotifyConfig:
    return NotifyConfig(url=f"http://127.0.0.1:{hook.port}/hook", **{"seconds": 5, **more})


def waiting(output: Path) -> list[Path]:
    return sorted((output / FOLDER).glob("*.json"))


def test_the_message_says_what_became_of_the_run(hook: Hook, tmp_path: Path):
    gate = GateResult("accuracy >= 0.9", "accuracy", value=0.5, bound=0.9, passed=False, reason="0.5 is below 0.9")
    summary = RunSummary(run_id="r1", name="shapes", status="refused", gates=[gate], metrics={"accuracy": 0.5})
    assert send(config_for(hook), tmp_path, message_of(summary))
    (body,) = hook.bodies
    assert body["id"]
    assert body["at"]
    expected = {
        "pipeline": "shapes", "outcome": "refused", "exit_code": 3, "cause": "accuracy >= 0.9: 0.5 is below 0.9",
        "run_id": "r1", "version": None, "repeated": False, "metrics": {"accuracy": 0.5}, "schema_version": 1,
    }  # fmt: skip
    assert {name: body[name] for name in expected} == expected
    assert hook.got[0][0][ID_HEADER] == body["id"]
    assert waiting(tmp_path) == []


def test_a_push_names_its_version_and_a_repeated_answer_says_so():
    components = [ComponentRun(id="Trainer", seconds=0, state="cached")]
    summary = RunSummary(run_id="r1", status="pushed", pushed_model="/pushed/12", components=components)
    message = message_of(summary)
    assert (message.version, message.repeated) == (12, True)


def test_the_body_is_signed_with_the_secret_or_the_secret_is_sent(hook: Hook, tmp_path: Path, monkeypatch):
    monkeypatch.setenv(SECRET_ENV, f" {SECRET}\n")
    send(config_for(hook), tmp_path, failure_of("shapes", "", 1))
    send(config_for(hook, auth="bearer"), tmp_path, failure_of("shapes", "", 1))
    (signed, body), (bearer, _) = hook.got
    assert signed[SIGNATURE_HEADER] == f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}"
    assert "Authorization" not in signed
    assert bearer["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("answer", [500, 403, 302, "noise", "hang", "drip"])
def test_what_is_not_taken_waits_and_is_sent_by_the_next_run(hook: Hook, tmp_path: Path, heard, monkeypatch, answer):
    monkeypatch.setenv(SECRET_ENV, SECRET)
    hook.answers = [answer] * 10
    start = time.monotonic()
    assert not send(config_for(hook, seconds=0.4, auth="bearer"), tmp_path, failure_of("shapes", "first", 1))
    assert time.monotonic() - start < 10, "as long as it may, on a busy machine"
    assert len(waiting(tmp_path)) == 1
    (warning,) = [event.text for event in heard if isinstance(event, Note)]
    assert "notify.url: 127.0.0.1 was not told of this run: " in warning
    assert "1 message waits for a later run" in warning
    assert SECRET not in warning
    assert SECRET.encode() not in waiting(tmp_path)[0].read_bytes()
    hook.answers = []
    assert send(config_for(hook, seconds=30), tmp_path, failure_of("shapes", "second", 1))
    assert list(dict.fromkeys(body["cause"] for body in hook.bodies)) == ["first", "second"]
    assert len({body["id"] for body in hook.bodies}) == 2, "what comes twice is known by its id"
    assert waiting(tmp_path) == []


def test_a_server_that_fails_once_is_asked_again(hook: Hook, tmp_path: Path, heard):
    hook.answers = [503]
    assert send(config_for(hook), tmp_path, failure_of("shapes", "", 1))
    assert [body["id"] for body in hook.bodies] == [hook.bodies[0]["id"]] * 2
    assert not [event for event in heard if isinstance(event, Note)]


def test_one_that_is_refused_for_good_holds_up_no_other(hook: Hook, tmp_path: Path):
    hook.answers = [400]
    send(config_for(hook), tmp_path, failure_of("shapes", "first", 1))
    hook.answers = [400]
    send(config_for(hook), tmp_path, failure_of("shapes", "second", 1))
    assert [body["cause"] for body in hook.bodies] == ["first", "first", "second"]
    assert [json.loads(path.read_text())["cause"] for path in waiting(tmp_path)] == ["first"]


def test_nobody_there_and_a_folder_that_cannot_be_written_fail_nothing(hook: Hook, tmp_path: Path, heard):
    config = config_for(hook, seconds=0.3)
    hook.server.shutdown()
    hook.server.server_close()
    assert not send(config, tmp_path, failure_of("shapes", "", 1))
    (tmp_path / "file").write_text("")
    assert not send(config, tmp_path / "file", failure_of("shapes", "", 1))
    texts = [event.text for event in heard if isinstance(event, Note)]
    assert "it was not reached" in texts[0]
    assert "cannot be written" in texts[1]


def test_what_nobody_took_for_long_is_dropped(hook: Hook, tmp_path: Path, monkeypatch):
    hook.answers = [500] * 10
    send(config_for(hook, seconds=0.3), tmp_path, failure_of("shapes", "old", 1))
    monkeypatch.setattr(delivery, "_KEPT_SECONDS", -1)
    hook.answers, hook.got = [], []
    send(config_for(hook), tmp_path, failure_of("shapes", "new", 1))
    assert waiting(tmp_path) == []
    assert hook.got == []


def test_without_a_url_nothing_is_written(tmp_path: Path):
    assert send(NotifyConfig(), tmp_path, failure_of("shapes", "", 1))
    assert list(tmp_path.iterdir()) == []


def test_work_that_raises_is_told_and_raises_still(hook: Hook, tmp_path: Path, load):
    backbone = {"name": "SmallCNN", "weights": "random", "image_size": 32}
    notify = {"url": f"http://127.0.0.1:{hook.port}", "seconds": 5}
    raw = {"name": "shapes", "output_dir": str(tmp_path / "out"), "data": {"root": "."}, "backbone": backbone}
    config = load({**raw, "notify": notify})

    def failing(_: object) -> RunSummary:
        raise RunError("output_dir: another run is going on")

    with pytest.raises(RunError):
        told(config, failing)
    summary = RunSummary(run_id="r", name="shapes", status="pending")
    assert told(config, lambda _: summary) is summary
    assert [(body["outcome"], body["exit_code"], body["cause"]) for body in hook.bodies] == [
        ("failed", 1, "output_dir: another run is going on"),
        ("pending", 4, ""),
    ]


@pytest.mark.parametrize(
    "url", ["ftp://x", "https://ann:word@host/", "https://", "http://host:99999", "http://a b", "x"]
)
def test_a_url_that_is_none_or_holds_a_password_is_a_mistake(url: str):
    with pytest.raises(ValueError, match="expected a URL"):
        NotifyConfig(url=url)


def test_the_command_tells_it(hook: Hook, tmp_path: Path):
    raw = {
        "name": "shapes",
        "output_dir": str(tmp_path / "out"),
        "data": {"root": str(tmp_path)},
        "backbone": {"name": "SmallCNN", "weights": "random", "image_size": 32},
        "notify": {"url": f"http://127.0.0.1:{hook.port}", "seconds": 5},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(raw))
    with only_run(tmp_path / "out"):
        said = CliRunner().invoke(app, ["run", str(tmp_path / "config.yaml")])
    assert said.exit_code == 1
    (body,) = hook.bodies
    assert (body["pipeline"], body["exit_code"]) == ("shapes", 1)
    assert body["cause"].startswith("output_dir: another run is going on")

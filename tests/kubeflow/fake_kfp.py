"""A locally served Kubeflow Pipelines API: it remembers what is made through it, and every request."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

API = "/apis/v2beta1"


class FakeKfp:
    """Use as a context manager; `host` is its address."""

    def __init__(self, states: tuple[str, ...] = ("RUNNING", "SUCCEEDED"), refuse: tuple[int, str] | None = None):
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.headers: list[dict[str, str]] = []
        self.stored: dict[str, list[dict[str, Any]]] = {
            name: [] for name in ("pipelines", "versions", "experiments", "runs", "recurringruns")
        }
        self.states = list(states)
        self.away = 0  # how many requests to come get no answer
        self.logs: dict[str, str] = {}  # of pods, the last to end first
        self.refuse = refuse
        self.tag = "2.17.0"  # its release
        fake = self

        class Handler(_Handler):
            kfp = fake

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FakeKfp:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def sent(self, method: str, path: str) -> list[Any]:
        """The bodies of the requests of a kind."""
        return [body for one, place, _, body in self.requests if (one, place) == (method, f"{API}/{path}")]

    def add(self, kind: str, id_name: str, **fields: Any) -> dict[str, Any]:
        made = {id_name: f"{kind}-{len(self.stored[kind]) + 1}", **fields}
        self.stored[kind].append(made)
        return made


class _Handler(BaseHTTPRequestHandler):
    kfp: FakeKfp

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_json = "json" in (self.headers.get("Content-Type") or "")
        body = json.loads(content) if content and is_json else content.decode()
        self.kfp.requests.append((self.command, url.path, query, body))
        self.kfp.headers.append(dict(self.headers))
        if self.kfp.away:
            self.kfp.away -= 1
            self.close_connection = True
        elif url.path.endswith("/log"):
            log = self.kfp.logs[url.path.split("/")[-2]].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(log)))
            self.end_headers()
            self.wfile.write(log)
        elif self.kfp.refuse:
            status, message = self.kfp.refuse
            self._send(status, {"error_message": message})
        else:
            self._send(200, self._result(url.path.removeprefix(f"{API}/"), query, body))

    def _result(self, path: str, query: dict[str, str], body: Any) -> Any:
        fake, stored = self.kfp, self.kfp.stored
        if path == "healthz":
            return {"multi_user": False, "tag_name": fake.tag}
        if path == "pipelines/upload":
            return fake.add("pipelines", "pipeline_id", display_name=query["name"])
        if path == "pipelines/upload_version":
            return fake.add("versions", "pipeline_version_id", display_name=query["name"])
        if path == "pipelines":
            wanted = json.loads(query["filter"])["predicates"][0]
            wanted = wanted.get("stringValue") or wanted.get("string_value")
            return {"pipelines": [one for one in stored["pipelines"] if one["display_name"] == wanted]}
        if path.endswith("/versions"):
            return {"pipeline_versions": stored["versions"]}
        if path == "experiments":
            if self.command == "POST":
                return fake.add("experiments", "experiment_id", **body)
            return {"experiments": stored["experiments"]}
        if path == "runs":
            return fake.add("runs", "run_id", **body)
        if path.startswith("runs/"):
            hours = reversed(range(len(fake.logs)))
            tasks = [
                {"task_id": pod, "end_time": f"2026-01-01T{hour:02}:00:00Z", "child_tasks": [{"pod_name": pod}]}
                for pod, hour in zip(fake.logs, hours, strict=True)
            ]
            return {**stored["runs"][0], "state": fake.states.pop(0), "run_details": {"task_details": tasks}}
        if path == "recurringruns":
            if self.command == "POST":
                return fake.add("recurringruns", "recurring_run_id", status="ENABLED", **body)
            if "namespace" in query:
                return {"recurringRuns": []}  # a server for one user has none by that name
            return {"recurringRuns": stored["recurringruns"]}
        if ":" in path:
            (changed,) = [
                one for one in stored["recurringruns"] if path.split("/")[1].startswith(one["recurring_run_id"])
            ]
            changed["status"] = {"enable": "ENABLED", "disable": "DISABLED"}[path.split(":")[1]]
            return {}
        stored["recurringruns"] = [one for one in stored["recurringruns"] if not path.endswith(one["recurring_run_id"])]
        return {}

    def _send(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

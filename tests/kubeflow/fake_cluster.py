"""A locally served Kubernetes API with just the Jobs, TrainJobs, Services, Pods and logs that worker Jobs use.

Every request is recorded. A Job's pods are processes on this machine, with the environment of the Job and nothing else;
host names of workers become ports of the loopback device. A pod that fails is replaced as often as `backoffLimit` says.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml


class FakeCluster:
    """Use as a context manager; `kubeconfig` is the file to point clients to."""

    def __init__(self, folder: Path, refuse: tuple[int, str] | None = None):
        self.requests: list[tuple[str, str, Any]] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.custom: dict[str, dict[str, dict[str, Any]]] = {"trainingruntimes": {}, "trainjobs": {}}
        self.pods: list[dict[str, Any]] = []
        self.ended: list[dict[str, Any]] = []  # whose Job is deleted
        self.folder = folder
        self.refuse = refuse
        self.refused_train_jobs = ""  # why they fail before there is a Job
        self.queued_train_jobs = False  # whether they wait until somebody looks at them
        self.away = 0  # how many requests to come are answered with `away_with`
        self.away_with = (503, "the server is currently unable to handle the request")
        self.cut_logs: list[int] = []  # after how many lines the next streams of a log break
        self.events: list[str] = []  # messages of warnings about the Job
        self.no_pods = False  # whether no pod is admitted
        self._lock = threading.RLock()
        self._over = threading.Event()
        cluster = self

        class Handler(_Handler):
            fake = cluster

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.kubeconfig = folder / "kubeconfig"
        url = f"http://127.0.0.1:{self._server.server_port}"
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "fake",
                    "clusters": [{"name": "fake", "cluster": {"server": url}}],
                    "users": [{"name": "fake", "user": {}}],
                    "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
                }
            )
        )

    def __enter__(self) -> FakeCluster:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        threading.Thread(target=self._control, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        for pod in self.pods:
            pod["process"].kill()
            pod["process"].wait()

    def calls(self) -> list[tuple[str, str]]:
        """Method and path of each request, without repetitions that follow each other."""
        calls = [(method, path) for method, path, _ in self.requests]
        return [call for number, call in enumerate(calls) if number == 0 or calls[number - 1] != call]

    def kill(self, index: int) -> None:
        """Kills the pod that now has a completion index."""
        next(pod for pod in reversed(self.pods) if pod["index"] == index)["process"].kill()

    def create_job(self, manifest: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            name = manifest["metadata"]["name"]
            job = json.loads(json.dumps(manifest))
            job["metadata"]["uid"] = f"uid-{name}"
            job["status"] = {"failed": 0, "succeeded": 0}
            job["ports"] = [_free_port() for _ in range(job["spec"]["completions"])]
            self.jobs[name] = job
            for index in range(0 if self.no_pods else job["spec"]["completions"]):
                self._start(name, index)
            return job

    def delete_job(self, name: str) -> None:
        with self._lock:
            del self.jobs[name]
            for pod in [pod for pod in self.pods if pod["job"] == name]:
                pod["process"].kill()
                pod["process"].wait()
                self.pods.remove(pod)
                self.ended.append(pod)

    def create_train_job(self, manifest: dict[str, Any]) -> None:
        """Does what Kubeflow Trainer and JobSet do."""
        name, runtime = (manifest[part][key] for part, key in (("metadata", "name"), ("spec", "runtimeRef")))
        spec = self.custom["trainingruntimes"][runtime["name"]]["spec"]
        (replicated,) = spec["template"]["spec"]["replicatedJobs"]
        job = {**replicated["template"], "metadata": {"name": f"{name}-{replicated['name']}-0"}}
        self.create_job({**job, "spec": {**job["spec"], "completions": spec["mlPolicy"]["numNodes"]}})

    def look(self) -> None:
        """Does what the Job controller does: counts ends, replaces what failed, ends Jobs."""
        with self._lock:
            for name, job in self.jobs.items():
                for pod in [pod for pod in self.pods if pod["job"] == name and not pod["counted"]]:
                    code = pod["process"].poll()
                    if code is None:
                        continue
                    pod["counted"] = True
                    action = self._action(job, code)
                    if code == 0:
                        job["status"]["succeeded"] += 1
                    elif action != "Ignore":
                        job["status"]["failed"] += 1
                    if action == "FailJob":
                        self._fail(job, "PodFailurePolicy", f"Container failed with exit code {code}")
                    elif code and job["status"]["failed"] <= job["spec"]["backoffLimit"]:
                        self._start(name, pod["index"])
                    if code == 0 and pod["index"] == 0 and "conditions" not in job["status"]:  # the successPolicy
                        job["status"]["conditions"] = [{"type": "Complete", "status": "True"}]
                if job["status"]["failed"] > job["spec"]["backoffLimit"] and "conditions" not in job["status"]:
                    self._fail(job, "BackoffLimitExceeded", "Job has reached the specified backoff limit.")

    @staticmethod
    def _action(job: dict[str, Any], code: int) -> str:
        """What the podFailurePolicy says of an exit code; a signal gives 128 and its number."""
        for rule in job["spec"]["podFailurePolicy"]["rules"]:
            if (code if code >= 0 else 128 - code) in rule.get("onExitCodes", {}).get("values", ()):
                return rule["action"]
        return "Count"

    @staticmethod
    def _fail(job: dict[str, Any], reason: str, message: str) -> None:
        failed = {"type": "Failed", "status": "True", "reason": reason, "message": message}
        job["status"]["conditions"] = [failed]

    def _control(self) -> None:
        while not self._over.wait(0.1):
            self.look()

    def pods_of(self, name: str, index: int) -> list[dict[str, Any]]:
        with self._lock:
            return [pod for pod in self.pods if (pod["job"], pod["index"]) == (name, index)]

    def _start(self, name: str, index: int) -> None:
        job = self.jobs[name]
        (container,) = job["spec"]["template"]["spec"]["containers"]
        environment = {one["name"]: one["value"] for one in container["env"]}
        for number, port in enumerate(job["ports"]):
            for key, value in environment.items():
                environment[key] = re.sub(rf"\b{name}-{number}\.[\w-]+:2222", f"127.0.0.1:{port}", value)
        image = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]), "HOME": str(self.folder)}
        pod_name = f"{name}-{index}-{len(self.pods) + len(self.ended)}"
        log = self.folder / f"{pod_name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*container["command"], *container.get("args", [])],
                env={**image, **environment, "JOB_COMPLETION_INDEX": str(index)},
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        pod = {"job": name, "index": index, "name": pod_name, "process": process, "log": log, "counted": False}
        self.pods.append(pod)


class _Handler(BaseHTTPRequestHandler):
    fake: FakeCluster

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self._answer()

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        fake, parts = self.fake, url.path.strip("/").split("/")
        fake.requests.append((self.command, url.path, body))
        if fake.away > 0:
            fake.away -= 1
            status, message = fake.away_with
            self._send(status, {"kind": "Status", "message": message})
        elif fake.refuse:
            self._send(fake.refuse[0], {"kind": "Status", "message": fake.refuse[1]})
        elif "jobs" in parts:
            self._jobs(parts, body)
        elif "trainer.kubeflow.org" in parts:
            self._custom(parts, body)
        elif parts[-1] == "services":
            self._send(201, body)
        elif parts[-1] == "events":
            items = [
                {"metadata": {}, "involvedObject": {}, "reason": "FailedCreate", "message": text}
                for text in fake.events
            ]
            self._send(200, {"kind": "EventList", "items": items})
        elif parts[-1] == "log":
            self._log(parts[-2])
        else:
            selector = parse_qs(url.query)["labelSelector"][0]
            labels = dict(pair.split("=") for pair in selector.split(","))
            found = fake.pods_of(
                labels["batch.kubernetes.io/job-name"], int(labels["batch.kubernetes.io/job-completion-index"])
            )
            phases = {None: "Running", 0: "Succeeded"}
            items = [
                {"metadata": {"name": pod["name"]}, "status": {"phase": phases.get(pod["process"].poll(), "Failed")}}
                for pod in found
            ]
            self._send(200, {"kind": "PodList", "items": items})

    def _jobs(self, parts: list[str], body: Any) -> None:
        fake, name = self.fake, parts[-1]
        if self.command == "POST":
            if body["metadata"]["name"] in fake.jobs:
                self._send(409, {"kind": "Status", "message": "already exists"})
            else:
                self._send(201, fake.create_job(body))
        elif name not in fake.jobs:
            self._send(404, {"kind": "Status", "message": f'jobs.batch "{name}" not found'})
        elif self.command == "DELETE":
            fake.delete_job(name)
            self._send(200, {"kind": "Status", "status": "Success"})
        else:
            if self.command == "PATCH":
                fake.jobs[name]["metadata"] |= body["metadata"]
            self._send(200, fake.jobs[name])

    def _custom(self, parts: list[str], body: Any) -> None:
        fake, (kind, *rest) = self.fake, parts[parts.index("kubeflow") + 1 :]
        objects = fake.custom[kind]
        if self.command == "POST" and body["metadata"]["name"] in objects:
            self._send(409, {"kind": "Status", "message": "already exists"})
        elif self.command == "POST":
            objects[body["metadata"]["name"]] = body
            if kind == "trainjobs" and fake.refused_train_jobs:
                condition = {"type": "Failed", "status": "True", "reason": fake.refused_train_jobs}
                body["status"] = {"conditions": [{**condition, "message": "it cannot be"}]}
            elif kind == "trainjobs" and not fake.queued_train_jobs:
                fake.create_train_job(body)
            self._send(201, body)
        elif rest[0] not in objects:
            self._send(404, {"kind": "Status", "message": f'{kind} "{rest[0]}" not found'})
        elif self.command == "DELETE":
            del objects[rest[0]]
            if f"{rest[0]}-node-0" in fake.jobs:
                fake.delete_job(f"{rest[0]}-node-0")
            self._send(200, {"kind": "Status", "status": "Success"})
        else:
            if self.command == "PATCH":
                objects[rest[0]]["metadata"] |= body["metadata"]
            elif fake.queued_train_jobs and not fake.jobs and kind == "trainjobs":
                fake.create_train_job(objects[rest[0]])
            self._send(200, objects[rest[0]])

    def _log(self, pod_name: str) -> None:
        """Sends the log until the pod ends, as `follow=true` asks for."""
        pod = next(pod for pod in [*self.fake.pods, *self.fake.ended] if pod["name"] == pod_name)
        self.send_response(200)
        self.end_headers()
        number, rest = 0, b""
        last = self.fake.cut_logs.pop(0) if self.fake.cut_logs else None
        with pod["log"].open("rb") as log:
            while True:
                ended = pod["process"].poll() is not None
                *lines, rest = (rest + log.read()).split(b"\n")
                for line in [*lines, *([rest] if ended and rest else [])]:
                    number += 1
                    stamp = f"2026-01-01T00:00:00.{number:09}Z "
                    self.wfile.write(stamp.encode() + line + b"\n")
                    if number == last:
                        self.fake.away = 2
                        return
                self.wfile.flush()
                if ended:
                    return
                time.sleep(0.05)

    def _send(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

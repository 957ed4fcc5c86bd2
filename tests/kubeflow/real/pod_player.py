"""Plays scheduler and kubelet to a real API server: each pod's command is a process of this machine.

A pod gets the environment that it declares, and nothing else of this one's; where a token of its account is mounted,
KUBECONFIG stands in for it. Host names of workers become ports of the loopback device. What Argo's executor does for a
task is play, too, but for its umask. Statuses are patched as a kubelet patches them, and logs are served as one serves
them, to the API server alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from control_plane import NAMESPACE, ControlPlane, free_port
from kubernetes import client

NODE = "player"
# Where a pod has several containers, what works.
MAIN = "main"
_EVERY_SECONDS = 0.2
_TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"


@dataclass
class Played:
    """A pod that runs, or has run.

    Attributes:
        started: When, in UTC, as Kubernetes writes it.
        exit_code: As Kubernetes has it, 128 and a signal's number; None while it runs.
        told: When it was told to end, on this machine's clock.
        others: Containers beside it, Argo's own, which have nothing to do here.
        message: Why it was ended, where Kubernetes says so.
        reported: The phase that the API server knows.
    """

    name: str
    labels: dict[str, str]
    container: str
    process: subprocess.Popen[bytes]
    log: Path
    started: str
    others: list[str] = field(default_factory=list)
    message: str = ""
    exit_code: int | None = None
    told: float | None = None
    reported: str = "Pending"


@dataclass
class PodPlayer:
    """Use as a context manager.

    Attributes:
        plane: Whose pods are played; those without a command are left alone.
        folder: For logs, and the working directory of all pods.
        pods: All that were started, by uid, in their order.
    """

    plane: ControlPlane
    folder: Path
    pods: dict[str, Played] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._core = client.CoreV1Api(self.plane.api())
        self._ports: dict[str, int] = {}
        self._over = threading.Event()
        player = self

        class Handler(_Logs):
            played = player

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.plane.certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> PodPlayer:
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._server.server_port}},
        }
        self._core.create_node({"metadata": {"name": NODE}})
        self._core.patch_node_status(NODE, {"status": status})
        self._threads = [threading.Thread(target=one) for one in (self._server.serve_forever, self._play)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._server.shutdown()
        for thread in self._threads:
            thread.join()
        self._server.server_close()
        for pod in self.pods.values():
            _kill(pod)
        self._core.delete_collection_namespaced_pod(NAMESPACE, grace_period_seconds=0)
        self._core.delete_node(NODE)

    def started(self) -> list[Played]:
        """All pods that were started, in their order; for other threads than that of the player."""
        return list(self.pods.values())

    def _play(self) -> None:
        while not self._over.wait(_EVERY_SECONDS):
            # A server that is away changes nothing of what runs.
            with contextlib.suppress(Exception):
                self._look()

    def _look(self) -> None:
        answer = self._core.list_namespaced_pod(NAMESPACE, _preload_content=False, _request_timeout=5)
        found = {pod["metadata"]["uid"]: pod for pod in json.loads(answer.data)["items"]}
        for uid, pod in found.items():
            if uid not in self.pods and "deletionTimestamp" not in pod["metadata"]:
                if pod["spec"]["containers"][0].get("command"):
                    self._start(uid, pod)
            elif uid in self.pods:
                self._follow(self.pods[uid], pod)
            elif "deletionTimestamp" in pod["metadata"]:
                self._core.delete_namespaced_pod(pod["metadata"]["name"], NAMESPACE, grace_period_seconds=0)
        for uid, played in self.pods.items():
            if uid not in found and played.exit_code is None:
                _kill(played)
                played.exit_code = _exit_code(played)

    def _start(self, uid: str, pod: dict[str, Any]) -> None:
        name, spec, labels = pod["metadata"]["name"], pod["spec"], pod["metadata"].get("labels", {})
        if not spec.get("nodeName"):
            binding = {"metadata": {"name": name}, "target": {"apiVersion": "v1", "kind": "Node", "name": NODE}}
            self._core.create_namespaced_binding(NAMESPACE, binding, _preload_content=False)
        container, *others = sorted(spec["containers"], key=lambda one: one["name"] != MAIN)
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                _command(container),
                env=self._environment(container, pod),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0,
            )
        played = Played(name, labels, container["name"], process, log, _now(), [one["name"] for one in others])
        self.pods[uid] = played
        self._report(played, "Running")

    def _environment(self, container: dict[str, Any], pod: dict[str, Any]) -> dict[str, str]:
        # What the image gives: an interpreter on PATH, and a home.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
        environment = {"PATH": path, "HOME": str(self.folder)}
        if any(mount["mountPath"] == _TOKEN_FOLDER for mount in container.get("volumeMounts", [])):
            environment["KUBECONFIG"] = str(self.plane.account(NAMESPACE, pod["spec"]["serviceAccountName"]))
        for one in container.get("env", []):
            source = one.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            environment[one["name"]] = _field(pod, source) if source else one.get("value", "")
        return {name: re.sub(r"([\w.-]+):2222\b", self._address, value) for name, value in environment.items()}

    def _address(self, host: re.Match[str]) -> str:
        return f"127.0.0.1:{self._ports.setdefault(host[1], free_port())}"

    def _follow(self, played: Played, pod: dict[str, Any]) -> None:
        code = played.process.poll()
        deleted = "deletionTimestamp" in pod["metadata"]
        if code is None and played.reported == "Pending":
            self._report(played, "Running")
        if code is None and deleted:
            grace = pod["metadata"].get("deletionGracePeriodSeconds", 30)
            if played.told is None:
                played.told = time.monotonic()
                if grace:
                    played.process.send_signal(signal.SIGTERM)
            if time.monotonic() - played.told >= grace:
                _kill(played)
        elif code is not None:
            if played.reported in ("Pending", "Running"):
                played.exit_code = _exit_code(played)
                self._report(played, "Failed" if code else "Succeeded")
            if deleted:
                self._core.delete_namespaced_pod(played.name, NAMESPACE, grace_period_seconds=0)

    def _report(self, played: Played, phase: str) -> None:
        codes = {played.container: played.exit_code} | dict.fromkeys(played.others, 0)
        ready = phase == "Running"
        states = {
            name: {"running": {"startedAt": played.started}}
            if ready
            else {"terminated": {"exitCode": code, "startedAt": played.started, "finishedAt": _now()}}
            for name, code in codes.items()
        }
        about = {"image": "image", "imageID": "", "restartCount": 0, "ready": ready, "started": ready}
        body = {
            "phase": phase,
            "message": played.message or None,
            "containerStatuses": [{**about, "name": name, "state": state} for name, state in states.items()],
            "conditions": [{"type": "Ready", "status": str(ready)}],
        }
        self._core.patch_namespaced_pod_status(played.name, NAMESPACE, {"status": body}, _preload_content=False)
        played.reported = phase

    @staticmethod
    def end(played: Played, message: str) -> None:
        """Ends a pod as a kubelet does by itself, for a reason that its status then has; the pod stays."""
        played.message = message
        played.process.terminate()

    def lose(self, played: Played) -> None:
        """Ends a pod as one whose node is gone: Kubernetes' collector of pods writes its status, no kubelet does."""
        played.reported = "Failed"
        _kill(played)
        played.exit_code = _exit_code(played)
        disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}
        status = {"phase": "Failed", "conditions": [disrupted]}
        self._core.patch_namespaced_pod_status(played.name, NAMESPACE, {"status": status}, _preload_content=False)
        self._core.delete_namespaced_pod(played.name, NAMESPACE, grace_period_seconds=0)


class _Logs(BaseHTTPRequestHandler):
    """A kubelet's `/containerLogs/<namespace>/<pod>/<container>`, as far as the API server asks for it here."""

    played: PodPlayer
    protocol_version = "HTTP/1.0"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        _, _, _, name, _ = url.path.split("/")
        query = parse_qs(url.query)
        pod = next(pod for pod in self.played.started() if pod.name == name)
        self.send_response(200)
        self.end_headers()
        with pod.log.open("rb") as log, contextlib.suppress(OSError):
            while True:
                over = pod.process.poll() is not None
                while line := log.readline():
                    # Each line has one stamp, and they grow.
                    stamp = f"{pod.started[:-1]}.{log.tell():09d}Z ".encode()
                    stamp = stamp if query.get("timestamps") == ["true"] else b""
                    self.wfile.write(stamp + line)
                if over or query.get("follow") != ["true"]:
                    return
                time.sleep(0.2)


def _command(container: dict[str, Any]) -> list[str]:
    """The command of a container, without that of Argo's executor before it."""
    words = [*container["command"], *container.get("args", [])]
    return words[words.index("--") + 1 :] if Path(words[0]).name == "argoexec" else words


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _field(pod: dict[str, Any], path: str) -> str:
    """A field that the downward API gives."""
    match = re.fullmatch(r"metadata\.(\w+)(?:\['([^']+)'\])?", path)
    assert match, path
    value = pod["metadata"][match[1]]
    return str(value[match[2]] if match[2] else value)


def _exit_code(pod: Played) -> int:
    code = pod.process.wait()
    return code if code >= 0 else 128 - code


def _kill(pod: Played) -> None:
    # The number of a process that has ended may be another's.
    if pod.process.poll() is None:
        os.killpg(pod.process.pid, signal.SIGKILL)
    pod.process.wait()

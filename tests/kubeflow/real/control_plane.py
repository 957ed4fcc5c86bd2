"""A control plane of Kubernetes on the loopback device: etcd, the API server with RBAC, and its controllers of Jobs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client
from kubernetes import config as kubernetes_config

NAMESPACE = "kubeflow"
_ADMIN_TOKEN = "admin"
_CONTROLLERS = "job-controller,garbage-collector-controller,serviceaccount-controller,ttl-after-finished-controller"


class ControlPlane:
    """Use as a context manager.

    Attributes:
        kubeconfig: Of an administrator.
        certificate: File of the API server's own certificate, and of its key; who plays a kubelet may serve with it.
    """

    def __init__(self, folder: Path, programs: Path, etcd: Path):
        """Args:
        folder: For data, logs and credentials.
        programs: Folder with kube-apiserver, kube-controller-manager and kubectl.
        etcd: The program.
        """
        self._folder, self._programs = folder, programs
        self._port, self._etcd_port, peers = free_port(), free_port(), free_port()
        self.certificate = (folder / "certificates" / "apiserver.crt", folder / "certificates" / "apiserver.key")
        self.kubeconfig = self.kubeconfig_of("admin", _ADMIN_TOKEN)
        self._environment = {"HOME": str(folder), "PATH": os.defpath}
        (folder / "tokens.csv").write_text(f"{_ADMIN_TOKEN},admin,admin,system:masters\n")
        self._key = folder / "service-accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", self._key, "2048"], capture_output=True, check=True)
        etcd_url = f"http://127.0.0.1:{self._etcd_port}"
        peer_url = f"http://127.0.0.1:{peers}"
        self._commands: dict[str, list[object]] = {
            "etcd": [
                etcd,
                f"--data-dir={folder / 'etcd'}",
                f"--listen-client-urls={etcd_url}",
                f"--advertise-client-urls={etcd_url}",
                f"--listen-peer-urls={peer_url}",
                f"--initial-advertise-peer-urls={peer_url}",
                f"--initial-cluster=default={peer_url}",
                "--unsafe-no-fsync",
            ],
            "kube-apiserver": [
                programs / "kube-apiserver",
                f"--etcd-servers={etcd_url}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                "--endpoint-reconciler-type=none",
                f"--secure-port={self._port}",
                f"--cert-dir={folder / 'certificates'}",
                f"--token-auth-file={folder / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={self._key}",
                f"--service-account-signing-key-file={self._key}",
                "--service-cluster-ip-range=10.0.0.0/24",
                "--kubelet-preferred-address-types=InternalIP",
                "--shutdown-delay-duration=0s",
            ],
            "kube-controller-manager": [
                programs / "kube-controller-manager",
                f"--kubeconfig={self.kubeconfig}",
                f"--controllers={_CONTROLLERS}",
                "--leader-elect=false",
                "--secure-port=0",
                f"--service-account-private-key-file={self._key}",
            ],
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> ControlPlane:
        try:
            for name in self._commands:
                self._start(name)
                if name == "kube-apiserver":
                    self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for name in reversed(list(self._running)):
            self._stop(name)

    def api(self, kubeconfig: Path | None = None) -> client.ApiClient:
        """A client with the rights of a kubeconfig, by default an administrator's."""
        return kubernetes_config.new_client_from_config(str(kubeconfig or self.kubeconfig))

    def kubectl(self, *arguments: object, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs kubectl as an administrator."""
        return subprocess.run(
            [str(self._programs / "kubectl"), f"--kubeconfig={self.kubeconfig}", *map(str, arguments)],
            input=text,
            capture_output=True,
            text=True,
            env=self._environment,
            check=False,
        )

    def apply(self, manifest: dict[str, Any], *options: str) -> str:
        """Applies a manifest on the server's side; returns what is wrong with it, warnings included."""
        command = ["apply", "--server-side", "--warnings-as-errors", *options, "-f", "-"]
        done = self.kubectl(*command, text=json.dumps(manifest))
        return done.stderr if done.returncode else ""

    def account(self, namespace: str, name: str) -> Path:
        """The kubeconfig of a ServiceAccount that is there, with a token of its own."""
        made = client.CoreV1Api(self.api()).create_namespaced_service_account_token(name, namespace, {"spec": {}})
        return self.kubeconfig_of(f"{namespace}-{name}", made.status.token)

    def kubeconfig_of(self, name: str, token: str) -> Path:
        file = self._folder / f"{name}.kubeconfig"
        server = {"server": f"https://127.0.0.1:{self._port}", "certificate-authority": str(self.certificate[0])}
        file.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": name,
                    "clusters": [{"name": "real", "cluster": server}],
                    "users": [{"name": name, "user": {"token": token}}],
                    "contexts": [{"name": name, "context": {"cluster": "real", "user": name}}],
                }
            )
        )
        return file

    @contextmanager
    def without_api_server(self) -> Iterator[None]:
        """Stops the API server for the time of the block."""
        self._stop("kube-apiserver")
        try:
            yield
        finally:
            self._start("kube-apiserver")
            self._wait_until_ready()

    def _start(self, name: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [str(word) for word in self._commands[name]],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
            )

    def _stop(self, name: str) -> None:
        process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait_until_ready(self) -> None:
        def ready() -> bool:
            if self._running["kube-apiserver"].poll() is not None:
                raise RuntimeError((self._folder / "kube-apiserver.log").read_text()[-3000:])
            return self.kubectl("get", "--raw", "/readyz").returncode == 0

        wait_for(ready, 600)


def wait_for(holds: Callable[[], Any], seconds: float, every: float = 0.2) -> Any:
    """Waits until something holds, and returns it; TimeoutError where it does not in that time."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not after {seconds:g} s")
        time.sleep(every)
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])

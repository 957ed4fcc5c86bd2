"""Creates the Job that trains, follows it to its end, and deletes it, through the official Kubernetes client."""

from __future__ import annotations

import hashlib
import json
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes import client

from finetune.errors import RunError
from finetune_kubeflow.workers import manifests, train_job

_logger = logging.getLogger(__name__)

POLL_SECONDS = 5.0


def job_name(run_id: str, node_id: str) -> str:
    """The same for every attempt of a task, so that a new one finds what a killed one has left."""
    return f"finetune-{node_id.lower()}-{hashlib.sha256(f'{run_id} {node_id}'.encode()).hexdigest()[:10]}"


def run_job(
    api: client.ApiClient,
    namespace: str,
    manifest: dict[str, Any],
    poll_seconds: float = POLL_SECONDS,
    as_train_job: bool = False,
) -> None:
    """Creates a Job and its Service, follows it to its end, and deletes both, whatever happens.

    Args:
        api: Of the official client.
        namespace: Of Job and Service.
        manifest: From `manifests.named_job`.
        poll_seconds: Between two looks at the Job.
        as_train_job: Create a TrainJob that makes the Job (see `finetune_kubeflow.workers.train_job`).

    Raises:
        RunError: The Job failed.
    """
    kind = _TrainJob if as_train_job else _Job
    made = kind(api, namespace, manifest, poll_seconds)
    jobs, core = client.BatchV1Api(api), client.CoreV1Api(api)
    with _exit_on_sigterm(), _sentences():
        made.delete()  # what an attempt that was killed has left
        try:
            made.create()
            name, count = manifest["metadata"]["name"], manifest["spec"]["completions"]
            _logger.info("created %s %s with %d workers", kind.__name__.strip("_"), name, count)
            _follow(jobs, core, namespace, name, poll_seconds, made.check)
        finally:
            made.delete()


class _Job:
    """A Job and its headless Service, which it owns."""

    def __init__(self, api: client.ApiClient, namespace: str, manifest: dict[str, Any], poll_seconds: float):
        self._jobs, self._core = client.BatchV1Api(api), client.CoreV1Api(api)
        self._namespace, self._manifest, self._poll_seconds = namespace, manifest, poll_seconds
        self._name = manifest["metadata"]["name"]

    def create(self) -> None:
        created = self._jobs.create_namespaced_job(self._namespace, self._manifest)
        self._core.create_namespaced_service(self._namespace, manifests.service(self._name, created.metadata.uid))

    def check(self) -> None:
        """Is asked while the Job is not there."""
        raise RunError(f"Job {self._name}: somebody deleted it while it was watched.")

    def delete(self) -> None:
        with _unless_gone():
            self._jobs.delete_namespaced_job(self._name, self._namespace, propagation_policy="Foreground")
            while True:
                self._jobs.read_namespaced_job(self._name, self._namespace)
                time.sleep(self._poll_seconds)


class _TrainJob:
    """A TrainJob and its runtime; the Job is Kubeflow Trainer's and JobSet's to make and to delete."""

    def __init__(self, api: client.ApiClient, namespace: str, manifest: dict[str, Any], poll_seconds: float):
        self._objects = client.CustomObjectsApi(api)
        self._where = (train_job.GROUP, train_job.VERSION, namespace)
        self._runtime, self._train_job = train_job.manifests(manifest)
        self._name, self._poll_seconds = train_job.name_of(manifest), poll_seconds

    def create(self) -> None:
        self._objects.create_namespaced_custom_object(*self._where, train_job.RUNTIMES, self._runtime)
        self._objects.create_namespaced_custom_object(*self._where, train_job.TRAIN_JOBS, self._train_job)

    def check(self) -> None:
        """Is asked while the Job is not there: waits in a queue, or is not going to come."""
        found = self._objects.get_namespaced_custom_object(*self._where, train_job.TRAIN_JOBS, self._name)
        for condition in found.get("status", {}).get("conditions", []):
            if condition["type"] == "Failed" and condition["status"] == "True":
                raise RunError(f"TrainJob {self._name}: {condition.get('reason')}: {condition.get('message')}")

    def delete(self) -> None:
        with _unless_gone():
            options = {"name": self._name, "propagation_policy": "Foreground"}
            self._objects.delete_namespaced_custom_object(*self._where, train_job.TRAIN_JOBS, **options)
            while True:
                self._objects.get_namespaced_custom_object(*self._where, train_job.TRAIN_JOBS, self._name)
                time.sleep(self._poll_seconds)
        with _unless_gone():
            self._objects.delete_namespaced_custom_object(*self._where, train_job.RUNTIMES, self._name)


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Ends quietly when the server says that there is no such object."""
    try:
        yield
    except client.ApiException as error:
        if error.status != 404:
            raise


def _follow(
    jobs: Any, core: Any, namespace: str, name: str, poll_seconds: float, while_absent: Callable[[], None]
) -> None:
    """Copies the chief's log to ours until the Job has ended."""
    followed: set[str] = set()
    failed = 0
    while True:
        status = None
        with _unless_gone():
            status = jobs.read_namespaced_job(name, namespace).status
        if status is None:
            while_absent()
            time.sleep(poll_seconds)
            continue
        if (status.failed or 0) > failed:
            failed = status.failed
            _logger.warning("Job %s: %d pods have failed so far; their indexes are started again", name, failed)
        for condition in status.conditions or []:
            if condition.type == "Complete" and condition.status == "True":
                return
            if condition.type == "Failed" and condition.status == "True":
                raise RunError(
                    f"Job {name}: {condition.reason}: {condition.message} The chief's log is above; "
                    "the other workers' is gone with their pods."
                )
        pods = core.list_namespaced_pod(
            namespace,
            label_selector=f"batch.kubernetes.io/job-name={name},batch.kubernetes.io/job-completion-index=0",
        ).items
        started = [pod for pod in pods if pod.status.phase != "Pending" and pod.metadata.name not in followed]
        for pod in started:
            followed.add(pod.metadata.name)
            log = core.read_namespaced_pod_log(
                pod.metadata.name, namespace, container=manifests.CONTAINER, follow=True, _preload_content=False
            )
            for line in log:
                sys.stderr.write(line.decode(errors="replace"))
        if not started:
            time.sleep(poll_seconds)


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Kubernetes says SIGTERM before it kills a pod: time to delete the Job."""

    def leave(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _sentences() -> Iterator[None]:
    """Turns what the API server refuses into a sentence."""
    try:
        yield
    except client.ApiException as error:
        try:
            message = json.loads(error.body)["message"]
        except (TypeError, ValueError, KeyError):
            message = error.reason
        raise RunError(
            f"Kubernetes refused ({error.status}): {message}. "
            "kubeflow/manifests/base/rbac.yaml has the rights that workers need."
        ) from error

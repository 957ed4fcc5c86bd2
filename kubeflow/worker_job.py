"""Creates the Job that trains, follows it to its end, and deletes it, through the official Kubernetes client."""

from __future__ import annotations

import hashlib
import json
import logging
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes import client

from kubeflow import workers
from pipeline.errors import RunError

_logger = logging.getLogger(__name__)

POLL_SECONDS = 5.0


def job_name(run_id: str, node_id: str) -> str:
    """The same for every attempt of a task, so that a new one finds what a killed one has left."""
    return f"finetune-{node_id.lower()}-{hashlib.sha256(f'{run_id} {node_id}'.encode()).hexdigest()[:10]}"


def run_job(
    api: client.ApiClient, namespace: str, manifest: dict[str, Any], poll_seconds: float = POLL_SECONDS
) -> None:
    """Creates a Job and its Service, follows it to its end, and deletes both, whatever happens.

    Args:
        api: Of the official client.
        namespace: Of Job and Service.
        manifest: From `workers.named_job`.
        poll_seconds: Between two looks at the Job.

    Raises:
        RunError: The Job failed.
    """
    jobs, core = client.BatchV1Api(api), client.CoreV1Api(api)
    name = manifest["metadata"]["name"]
    with _exit_on_sigterm(), _sentences():
        _delete_job(jobs, namespace, name, poll_seconds)  # of an attempt that was killed
        try:
            created = jobs.create_namespaced_job(namespace, manifest)
            core.create_namespaced_service(namespace, workers.service(name, created.metadata.uid))
            _logger.info("created Job %s with %d workers", name, manifest["spec"]["completions"])
            _follow(jobs, core, namespace, name, poll_seconds)
        finally:
            _delete_job(jobs, namespace, name, poll_seconds)


def _follow(jobs: Any, core: Any, namespace: str, name: str, poll_seconds: float) -> None:
    """Copies the chief's log to ours until the Job has ended."""
    followed: set[str] = set()
    failed = 0
    while True:
        status = jobs.read_namespaced_job(name, namespace).status
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
                pod.metadata.name, namespace, container=workers.CONTAINER, follow=True, _preload_content=False
            )
            for line in log:
                sys.stderr.write(line.decode(errors="replace"))
        if not started:
            time.sleep(poll_seconds)


def _delete_job(jobs: Any, namespace: str, name: str, poll_seconds: float) -> None:
    """Deletes the Job, its pods and, as it owns it, its Service; waits until it is gone."""
    try:
        jobs.delete_namespaced_job(name, namespace, propagation_policy="Foreground")
        while True:
            jobs.read_namespaced_job(name, namespace)
            time.sleep(poll_seconds)
    except client.ApiException as error:
        if error.status != 404:
            raise


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

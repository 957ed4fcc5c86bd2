"""Creates the Job that trains, or takes over the one that does, follows it to its end, and deletes it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kubernetes import client

from finetune.errors import RunError
from finetune_kubeflow.environment import INVOCATION_ANNOTATION
from finetune_kubeflow.workers import manifests, train_job
from finetune_kubeflow.workers.log import ChiefLog
from finetune_kubeflow.workers.patience import TIMEOUTS, UNREACHABLE, patiently

_logger = logging.getLogger(__name__)

POLL_SECONDS = 5.0


class JobError(RunError):
    """A Job that has used up its own retries; another would fail as often."""

    worth_retrying = False


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
    """Creates a Job and its Service, or takes over those of an earlier attempt, and follows the Job to its end.

    Both are deleted then, whatever happens.

    Args:
        api: Of the official client.
        namespace: Of Job and Service.
        manifest: From `manifests.named_job`.
        poll_seconds: Between two looks at the Job.
        as_train_job: Create a TrainJob that makes the Job (see `finetune_kubeflow.workers.train_job`).

    Raises:
        JobError: The Job failed.
        RunError: Somebody deleted it, or the API server refuses, or is away for many minutes.
    """
    made = (_TrainJob if as_train_job else _Job)(api, namespace, manifest)
    name, count = manifest["metadata"]["name"], manifest["spec"]["completions"]
    with _sentences():
        try:
            left = made.found()
            if left is not None and can_go_on(left, manifest):
                _own(made, left, manifest)
                _logger.info("Job %s of an earlier attempt goes on with %d workers", name, count)
            elif left is not None:
                made.delete()
                while made.found() is not None:
                    time.sleep(poll_seconds)
            made.create()
            _logger.info("%s %s has %d workers", type(made).__name__.strip("_"), name, count)
            _follow(api, namespace, name, poll_seconds, made.check)
        finally:
            # All requests at once, and none is waited for: a task that was told to end has less than a second.
            made.delete()


class _Job:
    """A Job and its headless Service, which it owns."""

    def __init__(self, api: client.ApiClient, namespace: str, manifest: dict[str, Any]):
        self._jobs, self._core = client.BatchV1Api(api), client.CoreV1Api(api)
        self._namespace, self._manifest = namespace, manifest
        self._name = manifest["metadata"]["name"]

    def create(self) -> None:
        """Creates what of it is missing."""
        with _unless(409):  # is there; or was made by a request whose answer was lost
            _json(self._jobs.create_namespaced_job, self._namespace, self._manifest)
        uid = _json(self._jobs.read_namespaced_job, self._name, self._namespace)["metadata"]["uid"]
        with _unless(409):
            patiently(self._core.create_namespaced_service, self._namespace, manifests.service(self._name, uid))

    def found(self) -> Any:
        """What there is of it, as the server's JSON; None where there is nothing."""
        with _unless(404):
            return _json(self._jobs.read_namespaced_job, self._name, self._namespace)
        return None

    def own(self, owners: list[Any]) -> None:
        """Has it deleted with the last of these."""
        change = {"metadata": {"ownerReferences": owners}}
        _json(self._jobs.patch_namespaced_job, self._name, self._namespace, change)

    def check(self) -> None:
        """Is asked while the Job is not there."""
        raise RunError(f"Job {self._name}: somebody deleted it while it was watched.")

    def delete(self) -> None:
        with _quietly():
            self._jobs.delete_namespaced_job(
                self._name, self._namespace, propagation_policy="Foreground", _request_timeout=TIMEOUTS
            )


class _TrainJob:
    """A TrainJob and its runtime; the Job is Kubeflow Trainer's and JobSet's to make and to delete."""

    def __init__(self, api: client.ApiClient, namespace: str, manifest: dict[str, Any]):
        self._objects = client.CustomObjectsApi(api)
        self._where = (train_job.GROUP, train_job.VERSION, namespace)
        self._runtime, self._train_job = train_job.manifests(manifest)
        self._name = train_job.name_of(manifest)

    def create(self) -> None:
        """Creates what of it is missing."""
        create = self._objects.create_namespaced_custom_object
        for kind, body in ((train_job.RUNTIMES, self._runtime), (train_job.TRAIN_JOBS, self._train_job)):
            with _unless(409):
                patiently(create, *self._where, kind, body)

    def found(self) -> Any:
        """What there is of it, as the server's JSON; None where there is nothing."""
        for kind in (train_job.TRAIN_JOBS, train_job.RUNTIMES):
            with _unless(404):
                return patiently(self._objects.get_namespaced_custom_object, *self._where, kind, self._name)
        return None

    def own(self, owners: list[Any]) -> None:
        """Has both deleted with the last of these."""
        change = {"metadata": {"ownerReferences": owners}}
        for kind in (train_job.RUNTIMES, train_job.TRAIN_JOBS):
            patiently(self._objects.patch_namespaced_custom_object, *self._where, kind, self._name, change)

    def check(self) -> None:
        """Is asked while the Job is not there: waits in a queue, or is not going to come."""
        found = self.found()
        if found is None:
            raise RunError(f"TrainJob {self._name}: somebody deleted it while it was watched.")
        for condition in found.get("status", {}).get("conditions", []):
            if condition["type"] == "Failed" and condition["status"] == "True":
                raise JobError(f"TrainJob {self._name}: {condition.get('reason')}: {condition.get('message')}")

    def delete(self) -> None:
        options = {"name": self._name, "propagation_policy": "Foreground", "_request_timeout": TIMEOUTS}
        for kind in (train_job.TRAIN_JOBS, train_job.RUNTIMES):
            with _quietly():
                self._objects.delete_namespaced_custom_object(*self._where, kind, **options)


def _own(made: _Job | _TrainJob, left: dict[str, Any], manifest: dict[str, Any]) -> None:
    """Has what an earlier attempt left live as long as this one's pod, too."""
    owners = left["metadata"].get("ownerReferences", [])
    known = {owner["uid"] for owner in owners}
    missing = [owner for owner in manifest["metadata"]["ownerReferences"] if owner["uid"] not in known]
    if missing:
        made.own([*owners, *missing])


def can_go_on(found: dict[str, Any], manifest: dict[str, Any]) -> bool:
    """Says whether to follow a Job or TrainJob that is there: it trains the same, and has neither failed nor to go.

    Args:
        found: As the server has it.
        manifest: The Job that would be created.
    """

    def invocation(one: dict[str, Any]) -> Any:
        return one["metadata"].get("annotations", {}).get(INVOCATION_ANNOTATION)

    conditions = found.get("status", {}).get("conditions") or []
    over = any(one["type"] in ("Failed", "FailureTarget") and one["status"] == "True" for one in conditions)
    # A runtime alone has no Job to follow.
    return (
        found.get("kind") != "TrainingRuntime"
        and not over
        and "deletionTimestamp" not in found["metadata"]
        and invocation(found) == invocation(manifest)
    )


def _json(call: Callable[..., Any], *arguments: Any) -> Any:
    """The server's answer as it is; the client's models refuse what they do not know, such as some failure policies."""
    return json.loads(patiently(call, *arguments, _preload_content=False).data)


@contextmanager
def _unless(status: int) -> Iterator[None]:
    """Ends quietly when the server answers with this status."""
    try:
        yield
    except client.ApiException as error:
        if error.status != status:
            raise


@contextmanager
def _quietly() -> Iterator[None]:
    """Goes on whatever the server says: what is not deleted now goes with its owner, and its lease ends."""
    try:
        yield
    except (client.ApiException, *UNREACHABLE) as error:
        if getattr(error, "status", None) != 404:
            _logger.warning("not deleted: %s", _message(error))


def _follow(
    api: client.ApiClient, namespace: str, name: str, poll_seconds: float, while_absent: Callable[[], None]
) -> None:
    """Copies the chief's log to ours until the Job has ended."""
    jobs, core = client.BatchV1Api(api), client.CoreV1Api(api)
    log = ChiefLog(core, namespace, name, sys.stderr)
    told: set[str] = set()
    failed = 0
    while True:
        status = None
        with _unless(404):
            status = _json(jobs.read_namespaced_job, name, namespace).get("status", {})
        if status is None:
            while_absent()
            time.sleep(poll_seconds)
            continue
        if status.get("failed", 0) > failed:
            failed = status["failed"]
            _logger.warning("Job %s: %d pods have failed so far; their indexes are started again", name, failed)
        met = {one["type"]: one for one in status.get("conditions", []) if one["status"] == "True"}
        if "Complete" in met or "Failed" in met:
            log.copy()
        if "Complete" in met:
            return
        if "Failed" in met:
            raise JobError(
                f"Job {name}: {met['Failed'].get('reason')}: {met['Failed'].get('message')} The chief's log is above; "
                "the other workers' is gone with their pods."
            )
        if not status.get("active") and not status.get("succeeded"):
            _tell_events(core, namespace, name, told)
        if not log.copy():
            time.sleep(poll_seconds)


def _tell_events(core: Any, namespace: str, name: str, told: set[str]) -> None:
    """Says why a Job has no pods, such as a quota or a policy of the namespace; each reason once."""
    selector = f"involvedObject.kind=Job,involvedObject.name={name},type=Warning"
    try:
        events = patiently(core.list_namespaced_event, namespace, field_selector=selector).items
        messages = [f"{event.reason}: {event.message}" for event in events]
    except client.ApiException as error:
        messages = [f"why cannot be said: {_message(error)}"]
    for message in messages:
        if message not in told:
            told.add(message)
            _logger.warning("Job %s has no pods: %s", name, message)


@contextmanager
def _sentences() -> Iterator[None]:
    """Turns what the API server refuses into a sentence."""
    try:
        yield
    except client.ApiException as error:
        raise RunError(
            f"Kubernetes refused ({error.status}): {_message(error)}. "
            "kubeflow/manifests/base/rbac.yaml has the rights that workers need."
        ) from error


def _message(error: Exception) -> str:
    """What the API server says, which names the right that lacks; or why it says nothing."""
    if isinstance(error, client.ApiException):
        with contextlib.suppress(TypeError, ValueError, KeyError):
            return str(json.loads(error.body)["message"])
    return str(getattr(error, "reason", None) or error)

"""Sends a compiled package to Kubeflow Pipelines, through its official client: one run, or a schedule of runs."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from finetune.errors import ConfigError, RunError
from finetune_kubeflow.client.outcome import exit_code_of, pods_of
from finetune_kubeflow.client.releases import ALLOWED, dropped_metadata, listed_account, other_account

POLL_SECONDS = 10.0
# How long a server that cannot be reached, or is busy, is asked again: a port-forward breaks now and then.
PATIENCE_SECONDS = 600.0
ZONE = (
    "in the time zone of the server: UTC, unless CRON_SCHEDULE_TIMEZONE of ml-pipeline-scheduledworkflow names another"
)
_ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


class _Away(RunError):
    """A server that cannot be reached, or does not answer now."""


@dataclass(frozen=True)
class Schedule:
    """A recurring run; `cron` has seconds first."""

    id: str
    name: str
    cron: str
    active: bool


@dataclass(frozen=True)
class Request:
    """What is sent; runs and schedules are in an experiment of the pipeline's name.

    The version follows from the package's content, so that the same package is uploaded once. `parameters` are those
    that differ from the package's defaults; `cron` has seconds first, and is None for one run.
    """

    pipeline: str
    version: str
    namespace: str
    service_account: str
    parameters: Mapping[str, Any]
    cron: str | None = None

    def sentences(self, host: str | None) -> str:
        """The request as JSON, with what becomes of it."""
        what = "run once" if self.cron is None else f"recurring run, {ZONE}; at most one at a time, no catching up"
        return json.dumps({"host": host, "request": what, **asdict(self)}, indent=1)


def request(
    package: Path, namespace: str, service_account: str, parameters: Mapping[str, str], cron: str | None = None
) -> Request:
    """Makes the request for a package.

    Args:
        package: From `finetune compile`.
        namespace: Of the runs.
        service_account: Of the runs.
        parameters: KFP parameters as texts.
        cron: Five fields, or six with seconds first.

    Raises:
        ConfigError: A parameter or the cron expression cannot be used.
    """
    from finetune_kubeflow.package.read import pipeline_parameters, read_package

    spec = read_package(package).pipeline
    values, problems = pipeline_parameters(spec, parameters)
    if cron is not None and len(cron.split()) not in (5, 6):
        problems.append(
            f"--cron: got {cron!r}; expected five fields (minute, hour, day, month, weekday), such as '0 3 * * 1'"
        )
    if problems:
        raise ConfigError(problems)
    return Request(
        pipeline=spec.pipeline_info.name,
        version=f"{spec.pipeline_info.name}-{hashlib.sha256(package.read_bytes()).hexdigest()[:12]}",
        namespace=namespace,
        service_account=service_account,
        parameters={name: values[name] for name in parameters},
        cron=f"0 {cron}" if cron and len(cron.split()) == 5 else cron,
    )


@dataclass(frozen=True)
class Access:
    """Where the server is, and what it lets one in with.

    Attributes:
        host: URL of the API, such as that of a port-forward.
        token: Bearer token. Without one, a pod that has KFP's service account token mounted uses that.
        cookies: As a browser sends them, for a server behind a login page: `authservice_session=...`.
        ca: File of the certificates that the server's is signed by.
        interface: URL that links begin with; None for the host, with port 8080 in place of 8888.
    """

    host: str
    token: str | None = None
    cookies: str | None = None
    ca: str | None = None
    interface: str | None = None

    def link(self, page: str) -> str:
        """The address of a page of the interface."""
        root = self.interface or re.sub(r":8888$", ":8080", self.host.rstrip("/"))
        return f"{root.rstrip('/')}/#/{page}"


class Server:
    """Kubeflow Pipelines, as far as it is needed here. What it refuses is raised as RunError with a sentence."""

    def __init__(self, access: Access, namespace: str):
        """Args:
        access: To the server.
        namespace: Of experiments and runs.
        """
        self._access = access
        self._host = access.host.rstrip("/")
        self._namespace = namespace
        with self._quietly():
            import kfp
            from kfp.client import KF_PIPELINES_SA_TOKEN_ENV, KF_PIPELINES_SA_TOKEN_PATH
            from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials

            mounted = Path(os.environ.get(KF_PIPELINES_SA_TOKEN_ENV, KF_PIPELINES_SA_TOKEN_PATH))
            own = None if access.token or not mounted.is_file() else ServiceAccountTokenVolumeCredentials(str(mounted))
            self._client = kfp.Client(
                host=self._host,
                namespace=namespace,
                existing_token=access.token,
                cookies=access.cookies,
                ssl_ca_cert=access.ca,
                credentials=own,
            )

    def upload(self, package: Path, made: Request) -> tuple[str, str]:
        """Uploads the package as a version of its pipeline, unless it is there; returns the ids of both."""
        with self._quietly():
            pipeline_id = self._client.get_pipeline_id(made.pipeline)
            if pipeline_id is None:
                pipeline_id = self._client.upload_pipeline(str(package), made.pipeline).pipeline_id
            by_name = {version.display_name: version for version in self._versions(pipeline_id)}
            version = by_name.get(made.version) or self._client.upload_pipeline_version(
                str(package), made.version, pipeline_id=pipeline_id
            )
            return pipeline_id, version.pipeline_version_id

    def run(self, package: Path, made: Request) -> tuple[str, str]:
        """Starts a run; returns its id and the address of its page.

        Raises:
            ConfigError: The server's release would silently drop something of it.
        """
        self._check_release(package)
        with self._quietly():
            run = self._client.run_pipeline(job_name=made.version, **self._uploaded(package, made))
        return run.run_id, self._access.link(f"runs/details/{run.run_id}")

    def follow(
        self,
        run_id: str,
        on_state: Callable[[str], None],
        poll_seconds: float = POLL_SECONDS,
        patience: float = PATIENCE_SECONDS,
    ) -> int:
        """Waits for the end of a run.

        Args:
            run_id: From `run`.
            on_state: Is told of each new state.
            poll_seconds: Between two looks.
            patience: Seconds for which the server may be away.

        Returns:
            The exit code that `finetune run` would have: 0 pushed, 3 refused, 4 waits for approval, 1 failed.
        """
        last, heard = "", time.monotonic()
        while last not in _ENDED:
            time.sleep(poll_seconds if last else 0)
            try:
                with self._quietly():
                    run = self._client.get_run(run_id)
            except _Away:
                if time.monotonic() - heard > patience:
                    raise
                continue
            heard = time.monotonic()
            if run.state and run.state != last:
                last = run.state
                on_state(last)
        return exit_code_of(last == "SUCCEEDED", (self._log(run_id, pod) for pod in pods_of(run)))

    def about_account(self, made: Request) -> str:
        """Says that runs may be refused for their account, or those of a schedule have another; empty where neither."""
        release = self._release()
        other = other_account(release, made.service_account) if made.cron else ""
        return other or listed_account(release, made.service_account)

    def _check_release(self, package: Path) -> None:
        from finetune_kubeflow.package.read import read_package

        if dropped := dropped_metadata(self._release(), read_package(package)):
            raise ConfigError([dropped])

    def _release(self) -> str:
        """The server's release, such as `2.17.0`; empty where it does not say."""
        with self._quietly():
            # The client's own answer leaves the release out.
            answer = self._client._run_api.api_client.call_api(
                "/apis/v2beta1/healthz",
                "GET",
                auth_settings=["Bearer"],
                _return_http_data_only=True,
                _preload_content=False,
            )
        try:
            return str(json.loads(answer.data).get("tag_name") or "")
        except (ValueError, AttributeError):
            return ""

    def _log(self, run_id: str, pod: str) -> str:
        """The log of a pod; empty where there is none, as of those that are no task's."""
        with contextlib.suppress(RunError), self._quietly():
            answer = self._client._run_api.api_client.call_api(
                "/apis/v1alpha1/runs/{run}/nodes/{pod}/log",
                "GET",
                {"run": run_id, "pod": pod},
                auth_settings=["Bearer"],
                _return_http_data_only=True,
                _preload_content=False,
            )
            return str(answer.data.decode(errors="replace"))
        return ""

    def schedule(self, package: Path, made: Request) -> tuple[str, str]:
        """Puts a schedule in place of this pipeline's earlier ones; returns its id and the address of its page.

        Raises:
            ConfigError: The server's release would silently drop something of it.
        """
        self._check_release(package)
        with self._quietly():
            uploaded = self._uploaded(package, made)
            earlier = self._client.list_recurring_runs(experiment_id=uploaded["experiment_id"], page_size=100)
            created = self._client.create_recurring_run(
                job_name=made.pipeline, cron_expression=made.cron, max_concurrency=1, no_catchup=True, **uploaded
            )
            for old in earlier.recurring_runs or []:
                if old.display_name == made.pipeline:
                    self._client.delete_recurring_run(old.recurring_run_id)
        return created.recurring_run_id, self._access.link(f"recurringrun/details/{created.recurring_run_id}")

    def schedules(self) -> list[Schedule]:
        """The schedules of the namespace."""
        found: list[Any] = []
        token = ""
        with self._quietly():
            # A server for one user refuses to be asked about a namespace.
            several = self._client.get_kfp_healthz().multi_user
            where = {"namespace": self._namespace} if several else {}
            while True:
                page = self._client.list_recurring_runs(page_token=token, page_size=100, **where)
                found += page.recurring_runs or []
                token = page.next_page_token
                if not token:
                    break
        return [
            Schedule(
                one.recurring_run_id,
                one.display_name,
                one.trigger.cron_schedule.cron if one.trigger and one.trigger.cron_schedule else "",
                one.status != "DISABLED",
            )
            for one in found
        ]

    def change_schedule(self, name: str, change: Literal["pause", "resume", "delete"]) -> Schedule:
        """Changes the schedule of a name or id, and returns it as it was.

        Raises:
            ConfigError: There is none, or several of that name.
        """
        there = self.schedules()
        found = [one for one in there if name in (one.id, one.name)]
        if len(found) != 1:
            known = ", ".join(f"{one.name} ({one.id})" for one in found or there) or "none"
            raise ConfigError([f"schedule: got {name!r}; expected one of {known}."])
        client = self._client
        calls = {
            "pause": client.disable_recurring_run,
            "resume": client.enable_recurring_run,
            "delete": client.delete_recurring_run,
        }
        with self._quietly():
            calls[change](found[0].id)
        return found[0]

    def _uploaded(self, package: Path, made: Request) -> dict[str, Any]:
        """What a run and a schedule say alike: the package, where it runs and with which parameters."""
        pipeline_id, version_id = self.upload(package, made)
        return {
            "experiment_id": self._client.create_experiment(made.pipeline, namespace=self._namespace).experiment_id,
            "pipeline_id": pipeline_id,
            "version_id": version_id,
            "params": dict(made.parameters),
            "enable_caching": False,
            "service_account": made.service_account,
        }

    def _versions(self, pipeline_id: str) -> Iterator[Any]:
        token = ""
        while True:
            page = self._client.list_pipeline_versions(pipeline_id, page_token=token, page_size=100)
            yield from page.pipeline_versions or []
            token = page.next_page_token
            if not token:
                return

    @contextlib.contextmanager
    def _quietly(self) -> Iterator[None]:
        """Keeps kfp's own links and warnings off the terminal, and turns its errors into sentences."""
        import kfp_server_api
        import urllib3

        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                yield
            except kfp_server_api.ApiException as error:
                kind = _Away if error.status == 429 or (error.status or 0) >= 500 else RunError
                raise kind(_refusal(self._host, error)) from error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                reason = getattr(error, "reason", error)
                raise _Away(
                    f"--host: {self._host} cannot be reached: {reason}. Is the port-forward running? "
                    "kubectl port-forward -n kubeflow svc/ml-pipeline 8888"
                ) from error


def _refusal(host: str, error: Any) -> str:
    """What the server says, without stack trace and headers."""
    try:
        body = json.loads(error.body)
        message = body.get("error_message") or body.get("message") or body["error"]
    except (TypeError, ValueError, KeyError, AttributeError):
        message = error.reason
    hint = {
        401: " Set KF_PIPELINES_TOKEN to a token that the server accepts.",
        403: " The token's account has no right to that in this namespace.",
        404: " Is it the address of the KFP API, and not of another service?",
    }.get(error.status, "")
    if re.search("service ?account", str(message), re.IGNORECASE):
        hint = f" Have {ALLOWED} of its deployment ml-pipeline list kubernetes.service_account, or name another there."
    return f"{host} refused ({error.status}): {str(message).splitlines()[0]}.{hint}"

"""Sends a compiled package to Kubeflow Pipelines, through its official client: one run, or a schedule of runs."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finetune.errors import ConfigError, RunError

POLL_SECONDS = 10.0
_ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


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
        what = "run once" if self.cron is None else "recurring run: at most one at a time, no catching up"
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


class Server:
    """Kubeflow Pipelines, as far as it is needed here. What it refuses is raised as RunError with a sentence."""

    def __init__(self, host: str, namespace: str, token: str | None = None):
        """Args:
        host: URL of the API, such as that of a port-forward.
        namespace: Of experiments and runs.
        token: Bearer token, where the server wants one.
        """
        self._host = host.rstrip("/")
        self._namespace = namespace
        with self._quietly():
            import kfp

            self._client = kfp.Client(host=self._host, namespace=namespace, existing_token=token)

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
        """Starts a run; returns its id and the address of its page."""
        with self._quietly():
            run = self._client.run_pipeline(job_name=made.version, **self._uploaded(package, made))
        return run.run_id, f"{self._host}/#/runs/details/{run.run_id}"

    def follow(self, run_id: str, on_state: Callable[[str], None], poll_seconds: float = POLL_SECONDS) -> str:
        """Waits for the end of a run, and returns its last state.

        Args:
            run_id: From `run`.
            on_state: Is told of each new state.
            poll_seconds: Between two looks.
        """
        last = ""
        while True:
            with self._quietly():
                run = self._client.get_run(run_id)
            if run.state and run.state != last:
                last = run.state
                on_state(last)
            if last in _ENDED:
                return last
            time.sleep(poll_seconds)

    def schedule(self, package: Path, made: Request) -> tuple[str, str]:
        """Puts a schedule in place of this pipeline's earlier ones; returns its id and the address of its page."""
        with self._quietly():
            uploaded = self._uploaded(package, made)
            earlier = self._client.list_recurring_runs(experiment_id=uploaded["experiment_id"], page_size=100)
            created = self._client.create_recurring_run(
                job_name=made.pipeline, cron_expression=made.cron, max_concurrency=1, no_catchup=True, **uploaded
            )
            for old in earlier.recurring_runs or []:
                if old.display_name == made.pipeline:
                    self._client.delete_recurring_run(old.recurring_run_id)
        return created.recurring_run_id, f"{self._host}/#/recurringrun/details/{created.recurring_run_id}"

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
                raise RunError(_refusal(self._host, error)) from error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                reason = getattr(error, "reason", error)
                raise RunError(
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
    return f"{host} refused ({error.status}): {str(message).splitlines()[0]}.{hint}"

"""The chief's log, copied line by line through connections that break and chiefs that are replaced."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, TextIO

from kubernetes import client

from finetune_kubeflow.workers import manifests
from finetune_kubeflow.workers.patience import UNREACHABLE, patiently

_ENDED = ("Succeeded", "Failed")
# Clocks of machines differ; what is read twice is written once.
_OVERLAP_SECONDS = 60


@dataclass(frozen=True)
class _Place:
    """How far a log has been read: the time stamp of the last line, and when that was, on this machine's clock."""

    stamp: str = ""
    read_at: float = 0.0


class ChiefLog:
    """The logs of the pods that have been worker 0 of a Job."""

    def __init__(self, core: Any, namespace: str, job: str, output: TextIO):
        """Lines go to `output`, each once."""
        self._core, self._namespace, self._output = core, namespace, output
        self._selector = f"batch.kubernetes.io/job-name={job},batch.kubernetes.io/job-completion-index=0"
        self._read: dict[str, _Place] = {}
        self._over: set[str] = set()

    def copy(self) -> bool:
        """Copies until the stream ends, breaks, or is silent for a minute; returns whether there was any line."""
        pods = patiently(self._core.list_namespaced_pod, self._namespace, label_selector=self._selector).items
        wanted = [pod for pod in pods if pod.status.phase != "Pending" and pod.metadata.name not in self._over]
        return sum(self._copy(pod.metadata.name, pod.status.phase in _ENDED) for pod in wanted) > 0

    def _copy(self, pod: str, ended: bool) -> int:
        """Copies what one pod has written since; returns the number of lines."""
        lines, last = 0, self._read.get(pod, _Place())
        since = {"since_seconds": math.ceil(time.monotonic() - last.read_at) + _OVERLAP_SECONDS} if last.stamp else {}
        try:
            stream = patiently(
                self._core.read_namespaced_pod_log,
                pod,
                self._namespace,
                container=manifests.CONTAINER,
                follow=True,
                timestamps=True,
                _preload_content=False,
                **since,
            )
            for line in stream:
                stamp, _, text = line.decode(errors="replace").partition(" ")
                # Kubernetes writes stamps of one length, in UTC: their order is that of the texts.
                if stamp > last.stamp:
                    self._read[pod] = last = _Place(stamp, time.monotonic())
                    self._output.write(text)
                    lines += 1
            if ended:
                self._over.add(pod)
        except UNREACHABLE:
            pass
        except client.ApiException as error:
            # The pod may be gone, or not begun; the Job says what is to be done.
            if error.status not in (400, 404):
                raise
        return lines

"""What each pod of the Job runs: `python -m finetune_kubeflow.workers.pod INVOCATION`."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from finetune import lease, termination
from finetune.errors import ConfigError, FinetuneError
from finetune_kubeflow.environment import (
    APART_ENV,
    FINAL_EXIT_CODE,
    INDEX_ENV,
    LEASE_FILE,
    ROOT_ENV,
    UMASK,
    WORKERS_ENV,
)
from finetune_kubeflow.task.log import logs_to_stderr
from pipeline.node_runs import own_error
from trainer_module.tuning.shares import WORKER_ENV


def tf_config(environ: Mapping[str, str]) -> str:
    """TF_CONFIG for this pod; without a chief of its own kind, TensorFlow takes worker 0 for one.

    Raises:
        ConfigError: The environment is not that of a pod of our Job.
    """
    addresses = [address for address in environ.get(WORKERS_ENV, "").split(",") if address]
    index = environ.get(INDEX_ENV, "")
    if not index.isdecimal() or int(index) >= len(addresses):
        raise ConfigError(
            [
                f"{INDEX_ENV}, {WORKERS_ENV}: got {index!r} and {','.join(addresses)!r}; expected the index of this "
                "pod and the addresses of all"
            ]
        )
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": int(index)}})


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains as one of the workers; what the chief gives, and nobody else, goes to the node's output.

    Returns:
        The exit code: FINAL_EXIT_CODE where another attempt cannot help. A worker that is told to end, or whose task no
        longer renews its lease, leaves a checkpoint and ends.
    """
    (invocation,) = sys.argv[1:] if arguments is None else arguments
    os.umask(UMASK)
    termination.listen()
    lease.watch(Path(invocation).with_name(LEASE_FILE), lambda: termination.terminate(FINAL_EXIT_CODE))
    with logs_to_stderr(), tempfile.TemporaryDirectory(prefix="worker-") as scratch:
        try:
            if APART_ENV in os.environ:
                os.environ[WORKER_ENV] = os.environ[INDEX_ENV]
            else:
                os.environ["TF_CONFIG"] = tf_config(os.environ)
            os.chdir(os.environ[ROOT_ENV])
            from finetune_kubeflow.workers.training import train

            is_chief = os.environ[INDEX_ENV] == "0"
            train(Path(invocation), None if is_chief else Path(scratch))
        except Exception as failure:
            ours = own_error(failure)
            logging.getLogger(__name__).exception("%s", ours or failure)
            return FINAL_EXIT_CODE if ours and not ours.worth_retrying else FinetuneError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

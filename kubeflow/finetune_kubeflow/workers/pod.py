"""What each pod of the Job runs: `python -m finetune_kubeflow.workers.pod INVOCATION`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from finetune.errors import ConfigError
from finetune_kubeflow.environment import INDEX_ENV, ROOT_ENV, UMASK, WORKERS_ENV
from finetune_kubeflow.task.log import logs_to_stderr


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
    """Trains as one of the workers; the chief's model, and only the chief's, goes to the node's output."""
    (invocation,) = sys.argv[1:] if arguments is None else arguments
    os.umask(UMASK)
    os.environ["TF_CONFIG"] = tf_config(os.environ)
    os.chdir(os.environ[ROOT_ENV])
    from finetune_kubeflow.workers.training import train

    with logs_to_stderr(), tempfile.TemporaryDirectory(prefix="worker-") as scratch:
        is_chief = os.environ[INDEX_ENV] == "0"
        train(Path(invocation), None if is_chief else Path(scratch))
    return 0


if __name__ == "__main__":
    sys.exit(main())

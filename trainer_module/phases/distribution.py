"""Where training runs: the decision is plain Python, the `tf.distribute` object follows from it."""

from __future__ import annotations

import json
import os
from typing import Any, Literal

from finetune import termination
from finetune.errors import RunError

StrategyName = Literal["one_device", "mirrored", "multi_worker_mirrored", "tpu"]


def choose_strategy(wanted: str, gpus: int, tf_config: str | None) -> StrategyName:
    """Picks a strategy from `distribution.strategy` of the config, the number of GPUs and the variable TF_CONFIG.

    Raises:
        RunError: TF_CONFIG, which names the workers of a cluster, is needed and missing, or cannot be read.
    """
    workers = _workers(tf_config)
    if wanted == "multi_worker_mirrored" and not workers:
        raise RunError(
            "distribution.strategy: got multi_worker_mirrored, and TF_CONFIG names no workers; expected "
            '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}.'
        )
    if wanted != "auto":
        return wanted  # type: ignore[return-value]
    if workers > 1:
        return "multi_worker_mirrored"
    return "mirrored" if gpus > 1 else "one_device"


def make_strategy(name: StrategyName) -> Any:
    """Returns the `tf.distribute.Strategy` called `name`."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if name == "multi_worker_mirrored":
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        # Its coordination service takes SIGTERM, and does nothing that a worker would end by.
        termination.keep_listening()
        return strategy
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "tpu":
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu="")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


def current_strategy(wanted: str) -> Any:
    """Returns the strategy for this process, its hardware and its TF_CONFIG."""
    import tensorflow as tf

    gpus = len(tf.config.list_physical_devices("GPU"))
    return make_strategy(choose_strategy(wanted, gpus, os.environ.get("TF_CONFIG")))


def distributed(batches: Any, strategy: Any) -> Any:
    """Cuts batches for the replicas of a strategy.

    One CPU takes them as they are: the iterator over devices, which copies them to others in time, has a thread of
    TensorFlow's that tunes it and that may sleep on for half a minute when the iterator is to end.
    """
    import tensorflow as tf

    if isinstance(strategy, tf.distribute.OneDeviceStrategy) and "CPU" in strategy.extended.worker_devices[0].upper():
        return batches
    return strategy.experimental_distribute_dataset(batches)


def is_chief(tf_config: str | None) -> bool:
    """Says whether this process writes what all of a cluster share: it is the chief, or without one, worker 0."""
    if not tf_config or not _workers(tf_config):
        return True
    content = json.loads(tf_config)
    task = content.get("task", {})
    first = "chief" if content["cluster"].get("chief") else "worker"
    return task.get("type") == first and task.get("index") == 0


def _workers(tf_config: str | None) -> int:
    if not tf_config:
        return 0
    try:
        cluster = json.loads(tf_config).get("cluster", {})
        return len(cluster.get("chief", [])) + len(cluster.get("worker", []))
    except (ValueError, AttributeError, TypeError):
        raise RunError(f"TF_CONFIG: got {tf_config!r}; expected JSON with `cluster` and `task`.") from None

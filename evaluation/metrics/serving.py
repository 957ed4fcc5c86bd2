"""Facts about the exported model. They are measured where it is served; here is what they mean."""

from __future__ import annotations

import math

from evaluation.metrics.metric import Metric

BATCH_SIZES = (1, 8, 32)
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

_FASTER = "a smaller backbone or smaller inputs (backbone.image_size); repeat the run if the machine was busy"


def _fact(name: str, label: str, meaning: str, unit: str, advice: str, higher_is_better: bool = False) -> Metric:
    return Metric(name, label, meaning, higher_is_better, bounds=(0.0, math.inf), advice=advice, unit=unit)


def latency(quantile: str, size: int) -> str:
    """The name of a quantile of the latency of batches of a size."""
    return f"latency_{quantile}_ms_batch{size}"


def throughput(size: int) -> str:
    """The name of the throughput of batches of a size."""
    return f"throughput_per_second_batch{size}"


LOAD_SECONDS = _fact(
    "load_seconds",
    "time to load",
    "seconds that loading takes, with nothing else going on",
    "s",
    "a smaller backbone, or another bound if the serving machine is faster than this one",
)
LATENCIES = tuple(
    _fact(
        latency(quantile, size),
        f"latency {quantile}, batch {size}",
        f"{quantile[1:]} % of requests, each of a batch of {size}, are answered within this",
        "ms",
        _FASTER,
    )
    for size in BATCH_SIZES
    for quantile in QUANTILES
)
THROUGHPUTS = tuple(
    _fact(
        throughput(size),
        f"throughput, batch {size}",
        f"examples answered per second, in batches of {size}",
        "/s",
        _FASTER,
        higher_is_better=True,
    )
    for size in BATCH_SIZES
)
# What is measured again and again beside the champion, so that a comparison has an interval, and the size of batches.
TIMED = {latency(quantile, size): size for size in BATCH_SIZES for quantile in QUANTILES}
TIMED |= {throughput(size): size for size in BATCH_SIZES}
PEAK_MEMORY_MB = _fact(
    "peak_memory_mb",
    "peak memory",
    "most memory that the serving process held",
    "MB",
    "a smaller backbone, smaller inputs (backbone.image_size) or smaller batches",
)
SIZE_MB = _fact(
    "size_mb",
    "size on disk",
    "size of all files of the exported model",
    "MB",
    "a smaller backbone or a narrower head (training.head.units)",
)
PARITY = _fact(
    "parity_max_difference",
    "largest difference to the trained network",
    "largest difference of a probability between the served model and the network in the Trainer's memory",
    "",
    "the exported model answers otherwise than the trained one: look for preprocessing that training and serving do "
    "not share, and do not move this bound",
)

"""What statistics say of columns: how many examples have each value."""

from __future__ import annotations

from pathlib import Path

from tensorflow_metadata.proto.v0 import statistics_pb2

from transforms import features
from transforms.modalities import MODALITIES

FILE_NAME = "FeatureStats.pb"
# Features that are other in each example, and contents, which statistics leave out.
NO_COLUMNS = frozenset(
    {
        features.BOXES,
        features.MASK,
        features.PATH,
        features.SHA256,
        features.GROUP,
        features.SPAN,
        *(modality.raw for modality in MODALITIES.values()),
    }
)


def value_counts(folder: Path) -> dict[str, dict[str, int]]:
    """Reads how often each value of the label and of each column is in a split.

    Args:
        folder: Of the split in the statistics, which lists up to 1,000 values of a column, the most frequent.

    Returns:
        By name of the column, but for numbers, and for columns with more values than are listed. Several labels of an
        example count each.
    """
    found = statistics_pb2.DatasetFeatureStatisticsList.FromString((folder / FILE_NAME).read_bytes())
    counts = {}
    for feature in found.datasets[0].features:
        name, listed = feature.name or ".".join(feature.path.step), feature.string_stats.rank_histogram.buckets
        if listed and name not in NO_COLUMNS and feature.string_stats.unique == len(listed):
            counts[name] = {bucket.label: round(bucket.sample_count) for bucket in listed}
    return counts

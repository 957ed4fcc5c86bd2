"""The statistics are TFX's own, but for what a model reads, of which they say how much there is."""

from pathlib import Path

import pytest

pytest.importorskip("tfx")

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.components.statistics_gen import executor
from tfx.types import artifact_utils, standard_artifacts

from components.data_validation.batches import without_contents
from components.data_validation.counts import value_counts
from components.data_validation.statistics import StatisticsExecutor
from evaluation.column_drift import column_drifts
from transforms.records import serialise

SPLITS = {"train": 40, "val": 3, "test": 5}


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> standard_artifacts.Examples:
    """Examples of pictures in several files a split, some gzipped; one example lacks its picture."""
    artifact = standard_artifacts.Examples()
    artifact.uri = str(tmp_path_factory.mktemp("examples"))
    artifact.split_names = artifact_utils.encode_split_names(list(SPLITS))
    for split, count in SPLITS.items():
        folder = Path(artifact.uri, f"Split-{split}")
        folder.mkdir()
        for part, (suffix, kind) in enumerate((("", ""), (".gz", "GZIP"))):
            with tf.io.TFRecordWriter(str(folder / f"data-{part}{suffix}"), kind) as writer:
                for number in range(part, count, 2):
                    values = {"label": b"rose" if number % 3 else b"daisy", "path": b"%d.jpg" % number, "weight": 0.5}
                    picture = {"image": bytes([number]) * 1000} if (split, number) != ("train", 7) else {}
                    writer.write(serialise({**values, **picture}))
    return artifact


def statistics(executor_class, examples, folder: Path) -> dict[str, statistics_pb2.DatasetFeatureStatistics]:
    artifact = standard_artifacts.ExampleStatistics()
    artifact.uri = str(folder / "statistics")
    context = executor_class.Context(
        tmp_dir=str(folder / "tmp"), unique_id="1", make_beam_pipeline_fn=lambda: beam.Pipeline(argv=[])
    )
    executor_class(context).Do({"examples": [examples]}, {"statistics": [artifact]}, {})
    found = {}
    for split in artifact_utils.decode_split_names(artifact.split_names):
        content = Path(artifact.uri, f"Split-{split}", executor.DEFAULT_FILE_NAME).read_bytes()
        (found[split],) = statistics_pb2.DatasetFeatureStatisticsList.FromString(content).datasets
    return found


def test_statistics_are_those_of_tfx_but_for_the_bytes_of_pictures(examples, tmp_path):
    ours = statistics(StatisticsExecutor, examples, tmp_path / "ours")
    theirs = statistics(executor.Executor, examples, tmp_path / "theirs")
    assert set(ours) == set(theirs) == set(SPLITS)
    for split, count in SPLITS.items():
        assert ours[split].num_examples == count
        features = [{one.path.step[0]: one for one in each[split].features} for each in (ours, theirs)]
        pictures = [each.pop("image") for each in features]
        assert features[0] == features[1]
        assert ours[split].name == theirs[split].name
        counts = [one.string_stats.common_stats for one in pictures]
        for name in ("num_non_missing", "num_missing", "min_num_values", "max_num_values"):
            assert getattr(counts[0], name) == getattr(counts[1], name)
        assert pictures[0].type == pictures[1].type
        assert (pictures[0].string_stats.avg_length, pictures[1].string_stats.avg_length) == (0, 1000)


def test_contents_are_emptied_and_stay_as_many():
    kind = pa.large_list(pa.large_binary())
    batch = pa.RecordBatch.from_arrays(
        [pa.array([[b"12"], None, [], [b"3", b"4"]], kind), pa.array([[b"rose"]] * 4, kind)], names=["image", "label"]
    )
    left = without_contents(batch)
    assert left.to_pydict() == {"image": [[b""], None, [], [b"", b""]], "label": [[b"rose"]] * 4}
    assert left.schema == batch.schema


def test_counts_are_those_of_the_columns_and_their_distance_is_that_of_tensorflow_data_validation(examples, tmp_path):
    artifact = statistics(StatisticsExecutor, examples, tmp_path)
    folders = {split: tmp_path / "statistics" / f"Split-{split}" for split in ("train", "test")}
    counts = {split: value_counts(folder) for split, folder in folders.items()}
    assert counts["train"] == {"label": {"rose": 26, "daisy": 14}}
    lists = {
        split: statistics_pb2.DatasetFeatureStatisticsList(datasets=[artifact[split]]) for split in ("train", "test")
    }
    schema = tfdv.infer_schema(lists["train"])
    tfdv.get_feature(schema, "label").drift_comparator.infinity_norm.threshold = 0.01
    found = tfdv.validate_statistics(lists["test"], schema, previous_statistics=lists["train"])
    (measured,) = found.drift_skew_info[0].drift_measurements
    (drift,) = column_drifts(counts["train"], counts["test"], 0.01)
    assert drift.distance == pytest.approx(measured.value)

"""The examples that Transform leaves: those of TFX's own Transform, whatever an earlier run has made of them."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from finetune.artifacts.ingest_report import IngestReport, SplitCounts
from finetune.events import Event, Note

tf = pytest.importorskip("tensorflow")
from tfx.components.transform import executor  # noqa: E402
from tfx.dsl.components.base import base_beam_executor  # noqa: E402
from tfx.proto import transform_pb2  # noqa: E402
from tfx.types import standard_artifacts  # noqa: E402
from tfx.utils import proto_utils  # noqa: E402

from components.transform.component import CACHE_KEY, TransformExecutor  # noqa: E402
from components.transform.shards import Kept, TransformShard  # noqa: E402
from trainer_module.examples.input_data import load_split  # noqa: E402
from transforms.inputs import ImageInputs  # noqa: E402
from transforms.records import read_records, serialise  # noqa: E402
from transforms.tasks import TASKS, Labels  # noqa: E402

SCHEMA = "".join(
    f'feature {{ name: "{name}" type: BYTES presence {{ min_fraction: 1 }} shape {{ dim {{ size: 1 }} }} }}\n'
    for name in ("image", "label", "sha256")
)
SETTINGS = {"modality": "image", "image_size": 8, "task": "single_label"}


def picture(label: str, number: int) -> bytes:
    """A serialised raw example of noise."""
    random = np.random.default_rng(number)
    encoded = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (12, 9, 3), np.uint8)).save(encoded, "PNG")
    data = encoded.getvalue()
    return serialise({"image": data, "label": label.encode(), "sha256": hashlib.sha256(data).hexdigest().encode()})


TRAIN = [picture(label, number) for number, label in enumerate("abcab" * 9)]
VAL = [picture(label, 1000 + number) for number, label in enumerate("abd")]


@pytest.fixture
def transform(tmp_path: Path) -> Callable[..., Path]:
    """Transforms examples into a new folder, by default with one folder of kept examples for all."""

    def write(folder: Path, records: Sequence[bytes], suffix: str) -> None:
        folder.mkdir(parents=True)
        for part, start in enumerate(range(0, len(records), 40)):
            with tf.io.TFRecordWriter(f"{folder}/data-{part}{suffix}", "GZIP" if suffix else "") as writer:
                for record in records[start : start + 40]:
                    writer.write(record)

    def transform(
        name: str,
        train: Sequence[bytes] = TRAIN,
        kept: str = "kept",
        suffix: str = ".gz",
        of: type = TransformExecutor,
        val: Sequence[bytes] = VAL,
        schema_text: str = SCHEMA,
    ) -> Path:
        folder = tmp_path / name
        raw, schema = standard_artifacts.Examples(), standard_artifacts.Schema()
        graph, transformed = standard_artifacts.TransformGraph(), standard_artifacts.Examples()
        for artifact, place in ((raw, "raw"), (schema, "schema"), (graph, "graph"), (transformed, "transformed")):
            artifact.uri = str(folder / place)
        raw.split_names = '["train", "val"]'
        raw.set_string_custom_property("file_format", "tfrecords_gzip")
        raw.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
        splits = {"train": train, "val": val}
        for split, records in splits.items():
            write(folder / "raw" / f"Split-{split}", records, suffix)
        counts = {split: SplitCounts(examples=len(records)) for split, records in splits.items()}
        IngestReport(files=9, used=9, splits=counts).write(raw.uri)
        (folder / "schema").mkdir()
        (folder / "schema" / "schema.pbtxt").write_text(schema_text)
        context = base_beam_executor.BaseBeamExecutor.Context(tmp_dir=str(folder / "tmp"), unique_id="1")
        of(context).Do(
            {"examples": [raw], "schema": [schema]},
            {"transform_graph": [graph], "transformed_examples": [transformed]},
            {
                "preprocessing_fn": "transforms.preprocessing.preprocessing_fn",
                "splits_config": proto_utils.proto_to_json(
                    transform_pb2.SplitsConfig(analyze=["train"], transform=["train", "val"])
                ),
                "custom_config": json.dumps({**SETTINGS, CACHE_KEY: {"dir": str(tmp_path / kept), "gb": 1}}),
                "disable_statistics": 1,
                "code": "code",
            },
        )
        return folder / "transformed"

    return transform


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def said(heard: list[Event]) -> list[str]:
    return [event.text for event in heard if isinstance(event, Note)]


def test_examples_are_those_of_tfx(transform):
    def examples(folder: Path) -> Iterator[dict[str, list]]:
        for split in ("train", "val"):
            for record in read_records(sorted(map(str, (folder / f"Split-{split}").iterdir()))).as_numpy_iterator():
                feature = tf.train.Example.FromString(record).features.feature
                yield {name: str(feature[name]) for name in feature} | {"split": split}

    ours, theirs = transform("ours", suffix=""), transform("theirs", suffix="", of=executor.Executor)
    key = lambda example: (example["split"], example["key"])  # noqa: E731
    assert sorted(examples(ours), key=key) == sorted(examples(theirs), key=key)
    assert len(list(examples(ours))) == len(TRAIN) + len(VAL)


def test_what_examples_share_is_written_where_the_data_say_it(transform):
    patients = [tf.train.Example.FromString(record) for record in TRAIN]
    for number, patient in enumerate(patients):
        patient.features.feature["group"].bytes_list.value.append(b"patient %d" % (number // 9))
    more = [patient.SerializeToString() for patient in patients]
    folder = transform(
        "grouped", more, val=more[:3], schema_text=SCHEMA + SCHEMA.splitlines(True)[0].replace("image", "group")
    )
    split = load_split([f"{folder}/Split-train/*"], ImageInputs(8), Labels(TASKS["single_label"], 3))
    assert dict(zip(split.keys, split.groups, strict=True)) == {
        patient.features.feature["sha256"].bytes_list.value[0].decode(): f"patient {number // 9}"
        for number, patient in enumerate(patients)
    }


def test_new_examples_cost_themselves_and_change_no_byte(transform, heard):
    """One of them is of a class that comes first in the vocabulary, so that the labels of all change."""
    transform("first")
    assert not said(heard)
    more = [picture("e", 2000 + number) for number in range(40)]
    incremental = transform("second", [*TRAIN, *more])
    assert said(heard) == [f"Transform: {len(TRAIN) + 3} examples are as an earlier run made them, 40 are new"]
    assert content(incremental) == content(transform("third", [*TRAIN, *more], kept="elsewhere"))


def test_a_damaged_entry_is_made_anew(transform, heard, tmp_path):
    whole = content(transform("first"))
    segment = next((tmp_path / "kept").rglob("*.segment"))
    damaged = bytearray(segment.read_bytes())
    damaged[100] ^= 1
    segment.write_bytes(damaged)
    assert content(transform("second")) == whole
    assert said(heard) == [f"Transform: {len(TRAIN) + 2} examples are as an earlier run made them, 1 are new"]


def test_two_runs_at_once_share_what_is_kept(transform, tmp_path):
    whole = content(transform("first", kept="elsewhere"))
    first, graph = tmp_path / "first", str(tmp_path / "first" / "graph")
    failed = []

    def run(number: int) -> None:
        work = TransformShard(graph, "image", Kept(str(tmp_path / "kept"), "both", 10**9), str(tmp_path))
        work.setup()
        raw = first / "raw" / "Split-train" / "data-0.gz"
        work.process(json.dumps({"raw": str(raw), "transformed": str(tmp_path / f"{number}")}))
        work.teardown()
        if (tmp_path / f"{number}").read_bytes() != whole["Split-train/transformed_examples-00000-of-00002"]:
            failed.append(number)

    threads = [threading.Thread(target=run, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert all((tmp_path / str(number)).exists() for number in range(3))

"""The component inside TFX: the launcher's cache, Beam's runners, TensorFlow's decoder, the components after it."""

import glob
import hashlib
import io
import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
import tensorflow as tf
from ml_metadata.proto import metadata_store_pb2
from PIL import Image
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components import SchemaGen, StatisticsGen
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils

from components.example_gen import file_component as subject
from components.example_gen import images, passes
from components.example_gen.files import FileProblem, FileRecord
from components.example_gen.fingerprint import fingerprint as files_fingerprint
from components.example_gen.image_component import ImageExampleGen, ImageExecutor
from components.example_gen.images import PictureFiles, check_image, check_with_pillow, check_with_tensorflow
from components.example_gen.settings import IngestSettings
from components.example_gen.spans import data_fingerprint
from finetune.errors import DataError
from finetune.events import Progress
from transforms.records import read_records

REAL_DATA = Path(os.environ.get("FINETUNE_REAL_DATA", Path(__file__).parents[4] / "shared" / "real"))
SPLITS = ("train", "val", "test")


@pytest.fixture
def files(picture) -> dict[str, bytes]:
    """Two classes with three pictures each in three split folders."""
    names = [f"{s}/{c}/{i}.png" for s in SPLITS for c in ("daisy", "rose") for i in range(3)]
    return {name: picture(seed) for seed, name in enumerate(names)}


@pytest.fixture
def ingest(tmp_path):
    """Runs the executor alone on a data root, and returns its artifact's folder."""
    runs = []

    def run(root: str, beam_args: tuple[str, ...] = (), **settings) -> str:
        runs.append(None)
        artifact = standard_artifacts.Examples()
        artifact.uri = str(tmp_path / f"examples{len(runs)}")
        context = ImageExecutor.Context(
            beam_pipeline_args=list(beam_args), tmp_dir=str(tmp_path / "tmp"), unique_id=str(len(runs))
        )
        exec_properties = {"root": root, "settings": json.dumps(settings)}
        ImageExecutor(context).Do({}, {"examples": [artifact]}, exec_properties)
        assert artifact_utils.decode_split_names(artifact.split_names) == list(SPLITS)
        return artifact.uri

    return run


def examples(uri: str, split: str) -> list[dict[str, bytes]]:
    """Returns the features of every example of a split, in the order of the files."""
    shards = sorted(glob.glob(f"{glob.escape(uri)}/Split-{split}/*"))
    found = []
    for record in read_records(shards).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        found.append({name: feature.bytes_list.value[0] for name, feature in features.items()})
    return found


def report(uri: str) -> dict:
    return json.loads(Path(uri, "ingest_report.json").read_text())


def test_caching_and_downstream_components(tree, files, tmp_path, picture):
    """The same data is not read twice; every change is; statistics and schema come out of it."""
    root = tree(files)
    database = str(tmp_path / "mlmd.sqlite")
    connection = metadata.sqlite_metadata_connection_config(database)

    def run() -> dict[str, str]:
        generator = ImageExampleGen(root, {"max_bad_fraction": 0.1, "report_dir": str(tmp_path / "report")})
        statistics = StatisticsGen(generator.outputs["examples"])
        schema = SchemaGen(statistics.outputs["statistics"])
        LocalDagRunner().run(
            pipeline.Pipeline(
                pipeline_name="ingest",
                pipeline_root=str(tmp_path / "root"),
                components=[generator, statistics, schema],
                enable_cache=True,
                metadata_connection_config=connection,
            )
        )
        with metadata.Metadata(connection) as store:
            types = {t.id: t.name.rsplit(".", 1)[-1] for t in store.store.get_execution_types()}
            executions = sorted(store.store.get_executions(), key=lambda execution: execution.id)[-3:]
            states = metadata_store_pb2.Execution.State
            return {types[e.type_id]: states.Name(e.last_known_state) for e in executions}

    assert set(run().values()) == {"COMPLETE"}
    (uri,) = glob.glob(f"{tmp_path}/root/ImageExampleGen/examples/*")
    (path,) = glob.glob(f"{tmp_path}/root/SchemaGen/schema/*/schema.pbtxt")
    schema = io_utils.parse_pbtxt_file(path, schema_pb2.Schema())
    assert {feature.name for feature in schema.feature} == {"image", "label", "path", "sha256"}
    assert all(feature.type == schema_pb2.BYTES for feature in schema.feature)
    assert sorted(os.listdir(glob.glob(f"{tmp_path}/root/StatisticsGen/statistics/*")[0])) == [
        f"Split-{split}" for split in sorted(SPLITS)
    ]
    with metadata.Metadata(connection) as store:
        (artifact,) = store.store.get_artifacts_by_type("Examples")
    properties = dict(artifact.custom_properties.items())
    assert properties["payload_format"].string_value == "FORMAT_TF_EXAMPLE"
    assert properties["file_format"].string_value == "tfrecords_gzip"
    assert properties["span"].int_value == 0
    assert properties["input_fingerprint"].string_value.startswith("files:18,")
    assert report(uri)["used"] == 18

    assert set(run().values()) == {"CACHED"}
    os.rename(f"{root}/train/rose/0.png", f"{root}/train/daisy/9.png")
    assert run()["ImageExampleGen"] == "COMPLETE"
    # A stop leaves the report, although TFX removes what the component wrote.
    tree({f"train/rose/{i}.jpg": b"text" for i in range(3)})
    with pytest.raises(DataError, match="got 3 unusable of 21 files") as caught:
        run()
    kept = str(tmp_path / "report" / "bad_files.json")
    assert kept in str(caught.value)
    assert len(json.loads(Path(kept).read_text())["skipped"]) == 3


def test_the_driver_finds_the_spans_and_mlmd_has_them(tree, files, tmp_path, picture):
    """A new or a corrected span makes the node run again, and one before the window does not."""
    root = tree({f"{span}/{name}": data for span in (1, 2) for name, data in files.items()} | {"2/note.txt": b"x"})
    connection = metadata.sqlite_metadata_connection_config(str(tmp_path / "mlmd.sqlite"))

    def run() -> str:
        generator = ImageExampleGen(f"{root}/{{SPAN}}", {"window": 2, "layout": "splits"})
        LocalDagRunner().run(
            pipeline.Pipeline(
                pipeline_name="spans",
                pipeline_root=str(tmp_path / "root"),
                components=[generator],
                enable_cache=True,
                metadata_connection_config=connection,
            )
        )
        with metadata.Metadata(connection) as store:
            execution = max(store.store.get_executions(), key=lambda one: one.id)
            return metadata_store_pb2.Execution.State.Name(execution.last_known_state)

    def recorded() -> tuple[int, str, list[str]]:
        with metadata.Metadata(connection) as store:
            artifact = max(store.store.get_artifacts_by_type("Examples"), key=lambda one: one.id)
        properties = artifact.custom_properties
        counts = report(artifact.uri)["spans"]
        assert [(span["name"], span["digest"]) for span in counts] == list(
            json.loads(properties["spans"].string_value).items()
        )
        rows = [row for split in SPLITS for row in examples(artifact.uri, split)]
        assert all(row["path"].startswith(row["span"] + b"/") for row in rows)
        return (
            properties["span"].int_value,
            properties["input_fingerprint"].string_value,
            sorted({row["span"].decode() for row in rows}),
        )

    assert run() == "COMPLETE"
    latest, fingerprint, spans = recorded()
    assert (latest, spans) == (2, ["1", "2"])
    own = IngestSettings(window=2, layout="splits")
    # What the execution cache asks, without TFX.
    assert fingerprint == data_fingerprint(f"{root}/{{SPAN}}", own, lambda place: files_fingerprint(place, own))
    assert run() == "CACHED"
    tree({f"3/{name}": picture(700 + seed) for seed, name in enumerate(files)})
    assert run() == "COMPLETE"
    assert recorded()[0] == 3
    assert recorded()[2] == ["2", "3"]
    os.remove(f"{root}/1/train/rose/0.png")
    assert run() == "CACHED"
    tree({"2/train/rose/late.png": picture(900)})
    assert run() == "COMPLETE"
    assert recorded()[1] != fingerprint
    os.rename(f"{root}/2", f"{tmp_path}/gone")
    os.rename(f"{root}/3", f"{tmp_path}/gone too")
    os.rename(f"{root}/1", f"{tmp_path}/all gone")
    with pytest.raises(DataError, match="no span is there"):
        run()


def test_examples_hold_the_bytes_of_the_files(tree, files, ingest):
    uri = ingest(tree(files))
    for split in SPLITS:
        rows = examples(uri, split)
        assert {row["path"].decode() for row in rows} == {name for name in files if name.startswith(split)}
        assert [row["sha256"] for row in rows] == sorted(row["sha256"] for row in rows)
        for row in rows:
            assert row.keys() == {"image", "label", "path", "sha256"}
            assert row["image"] == files[row["path"].decode()]
            assert row["sha256"].decode() == hashlib.sha256(row["image"]).hexdigest()
            assert row["label"] == row["path"].split(b"/")[1]
        assert os.listdir(f"{uri}/Split-{split}") == ["data_tfrecord-00000-of-00001"]


@pytest.mark.parametrize(
    "beam_args",
    [
        pytest.param((), id="same"),
        # Each worker imports TensorFlow, once a pass.
        pytest.param(
            ("--direct_num_workers=2", "--direct_running_mode=multi_processing"), id="processes", marks=pytest.mark.long
        ),
    ],
)
def test_shards_have_the_same_bytes_in_every_run(tree, files, ingest, beam_args, monkeypatch):
    monkeypatch.setattr("components.example_gen.selection.MAX_SHARD_EXAMPLES", 2)
    root = tree(files)

    first, second = ingest(root), ingest(root, beam_args)
    assert written(first) == written(second)
    assert len(list(Path(first).glob("Split-*/*"))) == 9


def test_every_kind_of_bad_file_is_skipped_with_its_reason(tree, files, ingest, picture):
    latin1 = os.fsdecode(b"train/rose/caf\xe9.png")
    odd = {latin1: picture(90), "train/rose/two\nlines.png": picture(91), "train/rose/png.jpg": picture(92)}
    bad = {
        "truncated": {"train/rose/cut.jpg": picture(93, "JPEG", size=(60, 60))[:900]},
        "empty file": {"train/rose/empty.jpg": b""},
        "not an image": {"train/rose/text.jpg": b"text"},
        "unsupported format": {
            "train/rose/webp.jpg": picture(94, "WEBP"),
            "train/rose/palette.bmp": picture(95, "BMP", "P"),
        },
        "too large": {"train/rose/large.png": picture(96, size=(101, 100))},
    }
    root = tree({**files, **odd, **{path: data for kind in bad.values() for path, data in kind.items()}})
    os.mkfifo(f"{root}/train/rose/pipe.jpg")
    os.mkdir(f"{root}/train/rose/folder.jpg")
    os.symlink("nowhere", f"{root}/train/rose/broken.jpg")
    os.symlink("..", f"{root}/train/rose/loop")
    uri = ingest(root, max_bad_fraction=1.0, max_pixels=10_000)

    expected = {path: reason for reason, paths in bad.items() for path in paths} | {
        "train/rose/pipe.jpg": "not a regular file",
        "train/rose/folder.jpg": "is a folder",
        "train/rose/broken.jpg": "broken symlink",
        "train/rose/loop": "symlink loop",
    }
    assert {skip["path"]: skip["reason"] for skip in report(uri)["skipped"]} == expected
    stored = {row["path"] for row in examples(uri, "train")}
    assert {os.fsencode(path) for path in odd} <= stored
    assert len(stored) == 6 + len(odd)


def test_what_pillow_and_tensorflow_both_decode(picture):
    variants = [("JPEG", mode) for mode in ("RGB", "L", "CMYK")]
    variants += [("PNG", mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")]
    for format, mode in [*variants, ("BMP", "RGB"), ("BMP", "RGBA"), ("BMP", "L"), ("GIF", "P")]:
        for size in ((8, 6), (7, 5), (1, 1)):
            data = picture(format=format, mode=mode, size=size)
            check_with_pillow(data, 100)
            check_with_tensorflow(data)
    frames = [Image.open(io.BytesIO(picture(seed))) for seed in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    check_with_tensorflow(buffer.getvalue())


@pytest.mark.parametrize(("mode", "says"), [("P", "wrong colours"), ("1", "cannot decode .Number of channels")])
def test_bmp_variants_that_tensorflow_refuses_or_garbles(picture, mode, says):
    data = picture(format="BMP", mode=mode)
    check_with_pillow(data, 100)
    with pytest.raises(FileProblem, match=f"unsupported format: .*{says}.*PNG or JPEG"):
        check_with_tensorflow(data)


@pytest.mark.parametrize("change", ["vanished", "changed"])
def test_files_that_go_or_change_between_the_passes(tree, files, ingest, picture, change, monkeypatch):
    """The test copy wins over the train copy; when it goes away meanwhile, the train copy is used after all."""
    files |= {"train/rose/copy.png": picture(99), "test/rose/copy.png": picture(99)}
    root = tree(files)
    target = Path(root, "test/rose/copy.png")
    select = subject.select

    def select_then_change(*arguments):
        selection = select(*arguments)
        if change == "changed":
            target.write_bytes(picture(100))
        elif target.exists():
            target.unlink()
        return selection

    monkeypatch.setattr(subject, "select", select_then_change)
    monkeypatch.setattr("components.example_gen.selection.MAX_SHARD_EXAMPLES", 2)
    uri = ingest(root, max_bad_fraction=0.1)
    (skip,) = report(uri)["skipped"]
    assert (skip["path"], skip["reason"]) == (
        "test/rose/copy.png",
        "missing file" if change == "vanished" else "changed",
    )
    assert b"train/rose/copy.png" in {row["path"] for row in examples(uri, "train")}
    assert len(examples(uri, "test")) == report(uri)["splits"]["test"]["examples"] == 6


def test_data_that_never_stands_still(tree, files, ingest, picture, monkeypatch):
    root = tree(files)
    monkeypatch.setattr(subject, "MAX_ATTEMPTS", 1)
    select = subject.select

    def select_then_change(*arguments):
        selection = select(*arguments)
        for name in files:
            Path(root, name).write_bytes(picture(100))
        return selection

    monkeypatch.setattr(subject, "select", select_then_change)
    with pytest.raises(DataError, match="keep changing while they are read"):
        ingest(root)


@pytest.fixture
def judged(monkeypatch) -> list[bytes]:
    """Returns the bytes that are judged from now on, in order."""
    seen = []

    def check(data: bytes, max_pixels: int) -> None:
        seen.append(data)
        check_image(data, max_pixels)

    monkeypatch.setattr(images, "check_image", check)
    return seen


def written(uri: str) -> dict[str, bytes]:
    return {str(path.relative_to(uri)): path.read_bytes() for path in sorted(Path(uri).rglob("*")) if path.is_file()}


def test_a_later_run_judges_new_files_alone_and_writes_what_a_run_from_empty_writes(
    tree, files, ingest, picture, judged, tmp_path
):
    bad = {"train/rose/text.jpg": b"text", "train/rose/cut.png": picture(50)[:80]}
    kept = {"max_bad_fraction": 0.5, "cache_dir": str(tmp_path / "kept")}
    ingest(tree({**files, **bad}), **kept)
    assert len(judged) == len(files) + len(bad)
    judged.clear()
    new = {"train/rose/new.png": picture(60), "val/daisy/bad.png": picture(61)[:80]}
    root = tree({**files, **bad, **new})
    grown = ingest(root, **kept)
    assert sorted(judged) == sorted(new.values())
    assert {skip["path"] for skip in report(grown)["skipped"]} == {*bad, "val/daisy/bad.png"}
    assert written(grown) == written(ingest(root, max_bad_fraction=0.5))


def test_what_a_verdict_depends_on_has_files_judged_anew(tree, files, ingest, judged, tmp_path, monkeypatch):
    root, kept = tree(files), {"cache_dir": str(tmp_path / "kept"), "judged_by": "code 1"}
    for changes in ({}, {"max_pixels": 100}, {"judged_by": "code 2"}):
        judged.clear()
        ingest(root, **{**kept, **changes})
        assert len(judged) == len(files), changes
    monkeypatch.setattr(images.PIL, "__version__", "0.0")
    ingest(root, **kept)
    assert len(judged) == 2 * len(files)


def test_a_damaged_verdict_is_made_anew(tree, files, ingest, judged, tmp_path):
    root, kept = tree(files), {"cache_dir": str(tmp_path / "kept")}
    first = ingest(root, **kept)
    (segment,) = (tmp_path / "kept").glob("*/*.segment")
    content = bytearray(segment.read_bytes())
    content[50] ^= 1
    segment.write_bytes(content)
    judged.clear()
    assert written(ingest(root, **kept)) == written(first)
    assert len(judged) == 1


def test_a_pass_that_is_repeated_or_killed_leaves_what_one_that_runs_once_does(tree, files, tmp_path, monkeypatch):
    root, shard, part = tree(files), tmp_path / "shard", str(tmp_path / "part")
    record = FileRecord("val/rose/0.png", ("rose",), sha256=hashlib.sha256(files["val/rose/0.png"]).hexdigest())
    gone = FileRecord("val/rose/gone.png", ("rose",), sha256="0" * 64)
    passes.write_lines(part, [json.dumps(str(shard)), record.to_json(), gone.to_json()])
    with monkeypatch.context() as killed:
        killed.setattr(passes, "make_example", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            passes.WriteShard(root, PictureFiles()).process(part)
    assert not shard.exists()
    assert not os.path.exists(passes.done(part))
    for _ in range(2):
        passes.WriteShard(root, PictureFiles()).process(part)
        assert len(list(read_records([str(shard)]).as_numpy_iterator())) == 1
        (lost,) = passes.read_lines(passes.done(part))
        assert FileRecord.from_json(lost).reason == "missing file"


def test_objects_of_a_bucket_are_read_several_at_a_time_and_stay_in_order(monkeypatch):
    together = threading.Barrier(passes.READERS, timeout=30)

    def read(path: str) -> bytes:
        together.wait()  # Ends when as many are there.
        if path.endswith("/2"):
            raise FileProblem("missing file", "it is not there")
        return path.encode()

    monkeypatch.setattr(passes, "read_file", read)
    records = [FileRecord(str(number), ()) for number in range(passes.READERS)]
    found = list(passes.read_files("s3://birds", records))
    assert [record for record, _ in found] == records
    with pytest.raises(FileProblem, match="missing file"):
        found.pop(2)[1]()
    assert [read_one() for _, read_one in found] == [
        b"s3://birds/%d" % number for number in (0, 1, *range(3, passes.READERS))
    ]


def test_manifest_with_slices(tree, files, ingest):
    lines = ["path,label,set,site"]
    lines += [f"{path},{path.split('/')[1]},{path.split('/')[0]},site {i % 2}" for i, path in enumerate(files)]
    uri = ingest(
        tree({**files, "m.csv": "\n".join(lines).encode()}),
        manifest="m.csv",
        split_column="set",
        slice_columns=["site"],
    )
    assert [len(examples(uri, split)) for split in SPLITS] == [6, 6, 6]
    assert {row["site"] for row in examples(uri, "val")} == {b"site 0", b"site 1"}


def test_conflicting_manifest_rows(tree, files, ingest):
    """One path under two labels, and a row that is there twice."""
    lines = ["path,label,set", "train/rose/0.png,daisy,train", *["val/rose/0.png,rose,val"] * 2]
    lines += [f"{path},{path.split('/')[1]},{path.split('/')[0]}" for path in files]
    uri = ingest(
        tree({**files, "m.csv": "\n".join(lines).encode()}), manifest="m.csv", split_column="set", max_bad_fraction=1.0
    )
    assert sorted(skip["reason"] for skip in report(uri)["skipped"]) == ["conflict"] * 2 + ["duplicate row"] * 2
    assert [len(examples(uri, split)) for split in SPLITS] == [5, 6, 6]


def test_progress_is_told(tree, files, ingest, heard, monkeypatch):
    monkeypatch.setattr("components.example_gen.progress.SECONDS_BETWEEN_EVENTS", 0)
    ingest(tree(files))
    told = [event for event in heard if isinstance(event, Progress)]
    read = [event.done for event in told if event.unit == "files"]
    assert read == sorted(read)
    assert set(read) == set(range(19))
    assert {event.total for event in told} == {18}
    assert told[-1] == Progress(component="ImageExampleGen", done=18, total=18, unit="examples")


def test_real_photos(ingest, tmp_path):
    root = REAL_DATA / "images" / "flower_photos"
    if not root.is_dir():
        pytest.skip(f"no real data in {REAL_DATA}; set FINETUNE_REAL_DATA")
    started = time.monotonic()
    uri = ingest(str(root), splits={"train": "train", "val": 0.15, "test": "val"})
    counts = report(uri)
    print(f"\n{time.monotonic() - started:.1f} s", json.dumps(counts, indent=1))
    assert counts["files"] == 750
    assert counts["splits"]["test"]["examples"] == 150
    assert counts["used"] == sum(counts["splits"][split]["examples"] for split in SPLITS)
    shutil.rmtree(uri)

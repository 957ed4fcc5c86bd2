"""Ingest from a bucket: what a folder of the same files gives, or an error; never less, and never in silence."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from s3_server import SECRET, Cable, impatient

from components.example_gen.fingerprint import fingerprint
from components.example_gen.layouts import list_files
from components.example_gen.settings import IngestSettings
from components.example_gen.spans import DataSpans, list_spans, resolve_spans
from components.example_gen.tables import read_tables, text_problem
from finetune import buckets
from finetune.errors import DataError, RunError

SETTINGS = IngestSettings()


@pytest.fixture
def files(picture) -> dict[str, bytes]:
    pictures = {f"{kind}/{number}.png": picture(number) for kind in ("daisy", "rose") for number in range(3)}
    return {**pictures, "rose/empty.png": b"", "rose/.hidden": b"x", "notes.txt": b"not a class"}


def upload(files: dict[str, bytes]) -> str:
    for name, data in files.items():
        buckets.write(f"s3://birds/data/{name}", data)
    return "s3://birds/data"


def test_a_bucket_is_listed_and_read_as_a_folder_is(s3, tree, files, read):
    here, there = tree(files), upload(files)
    in_folder, in_bucket = list_files(here, SETTINGS), list_files(there, SETTINGS)
    assert (in_bucket.layout, in_bucket.classes, in_bucket.ignored) == ("classes", ["daisy", "rose"], ["notes.txt"])

    def untimed(records):
        return [dataclasses.replace(record, mtime_ns=0) for record in records]

    assert untimed(in_bucket.files) == untimed(in_folder.files)
    assert untimed(read(there, in_bucket)) == untimed(read(here, in_folder))
    assert len([record for record in read(there, in_bucket) if record.sha256]) == 6


def test_a_changed_object_changes_the_fingerprint(s3, files, picture):
    root = upload(files)
    before = fingerprint(root, SETTINGS)
    assert fingerprint(root, SETTINGS) == before
    buckets.write(f"{root}/rose/3.png", picture(3))
    assert fingerprint(root, SETTINGS) != before


def test_a_manifest_names_objects(s3, picture, read):
    root = upload({"all.csv": b"path,label\na/0.png,rose\nb/1.png,daisy\nb/2.png,rose\n"})
    for name in ("a/0.png", "b/1.png"):
        buckets.write(f"{root}/{name}", picture(len(name)))
    listing = list_files(root, dataclasses.replace(SETTINGS, layout="manifest", manifest="all.csv"))
    assert [(record.path, record.reason) for record in listing.files] == [
        ("a/0.png", None),
        ("b/1.png", None),
        ("b/2.png", "missing file"),
    ]


@pytest.mark.parametrize("root", ["s3://birds/texts", "s3://birds/texts/all.csv"])
def test_tables_are_read_from_a_bucket(s3, root):
    buckets.write("s3://birds/texts/all.csv", b"text,label\nhello you,ham\nbuy now,spam\n")
    tables = read_tables(root, dataclasses.replace(SETTINGS, layout="table"), text_problem)
    assert sorted(tables.texts.values()) == ["buy now", "hello you"]


def test_what_is_not_there_is_said(s3):
    for root in ("s3://birds/nothing", "s3://no-such-bucket/data"):
        with pytest.raises(DataError, match=f"data.root: got '{root}'"):
            list_files(root, SETTINGS)


def test_a_connection_that_breaks_while_a_picture_is_read_is_made_anew(s3: Cable, tree, files, read, picture):
    files["rose/0.png"] = large = picture(1, size=(300, 300))
    root = upload(files)
    listing = list_files(root, SETTINGS)
    s3.cut, s3.times, s3.after = "GET .*/rose/0.png", 2, len(large) // 2
    found = {record.path: record for record in read(root, listing)}
    assert len(s3.broken) == 2
    expected = {record.path: record for record in read(tree(files), listing)}
    assert found["rose/0.png"].sha256 == expected["rose/0.png"].sha256


def test_a_connection_that_keeps_breaking_stops_the_run_and_skips_nothing(s3: Cable, files, read, picture, monkeypatch):
    impatient(monkeypatch)
    files["rose/0.png"] = picture(1, size=(300, 300))
    root = upload(files)
    listing = list_files(root, SETTINGS)
    s3.cut, s3.after = "GET .*/rose/0.png", 1000
    with pytest.raises(RunError, match=r"s3://birds/data/rose/0\.png: the bucket did not answer") as caught:
        read(root, listing)
    assert SECRET not in str(caught.value)


def test_credentials_are_in_no_message_and_no_log(s3: Cable, files, caplog, monkeypatch, read):
    impatient(monkeypatch)
    caplog.set_level("DEBUG")
    root = upload(files)
    read(root, list_files(root, SETTINGS))
    s3.cut = "GET"
    with pytest.raises(RunError):
        list_files(root, SETTINGS)
    assert caplog.text
    assert SECRET not in caplog.text


def test_examples_from_a_bucket_have_the_bytes_of_those_from_a_folder(s3, tree, picture, tmp_path):
    pytest.importorskip("tfx")
    from tfx.types import standard_artifacts

    from components.example_gen.image_component import ImageExampleGen, ImageExecutor

    files = {
        f"{kind}/{number}.png": picture(number + 50 * (kind == "rose"))
        for kind in ("daisy", "rose")
        for number in range(12)
    }
    written = []
    for root in (tree(files), upload(files)):
        node = ImageExampleGen(root, {})
        artifact = standard_artifacts.Examples()
        artifact.uri = str(tmp_path / str(len(written)))
        executor = ImageExecutor(ImageExecutor.Context(tmp_dir=str(tmp_path / "tmp"), unique_id="1"))
        executor.Do({}, {"examples": [artifact]}, {"root": root, "settings": node.exec_properties["settings"]})
        shards = sorted(Path(artifact.uri).glob("Split-*/*"))
        written.append({os.path.relpath(path, artifact.uri): path.read_bytes() for path in shards})
    assert written[0] == written[1]
    assert len(written[0]) == 3


def test_spans_in_a_bucket(s3, picture):
    base = upload({f"{span}/{kind}/{n}.png": picture(n) for span in (1, 2, 10) for kind in ("a", "b") for n in (1, 2)})
    for name in ("1/_SUCCESS", "2/_SUCCESS", "notes.txt"):
        buckets.write(f"{base}/{name}", b"x")
    settings = dataclasses.replace(SETTINGS, window=2, span_marker="_SUCCESS", span_min_age="1d")

    def resolve(**changed) -> DataSpans:
        own = dataclasses.replace(settings, **changed)
        return resolve_spans(f"{base}/{{SPAN}}", own, lambda root: fingerprint(root, own))

    with pytest.raises(DataError, match="no span that is wanted is complete: 1, 2, 10 lack"):
        resolve()
    found = resolve(span_min_age=None)
    assert ([span.name for span in found.spans], found.waiting) == (["1", "2"], ("10",))
    assert found.strangers == ("notes.txt",)
    listing = list_spans(found, settings, lambda root: list_files(root, settings))
    assert [record.path for record in listing.files[:2]] == ["1/a/1.png", "1/a/2.png"]
    assert len(listing.files) == 8
    assert listing.ignored == ["notes.txt"]
    buckets.write(f"{base}/2/a/3.png", picture(3))
    assert resolve(span_min_age=None).fingerprint != found.fingerprint

"""What Beam's workers do with files and shards. They import this module, so it must not import TFX.

What they take and what they leave are files of lines, so that nothing but paths goes through Beam, no worker holds more
than one such file, and a worker that is killed, or runs twice, leaves the same result as one that runs once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf

from components.example_gen.boxes import check_size
from components.example_gen.file_kind import FileKind
from components.example_gen.files import FileProblem, FileRecord, read_file
from components.example_gen.masks import read_mask
from components.example_gen.progress import Progress
from components.example_gen.settings import IngestSettings
from finetune.buckets import is_bucket
from finetune.example_cache import ExampleCache
from transforms import features
from transforms.sides import pack

# Objects that a worker asks a bucket for at a time.
READERS = 8


class Pass(beam.DoFn):
    """Takes paths of files of lines, such as `write_lines` leaves, and leaves the resulting lines in `done(path)`."""

    def process(self, path: str) -> None:
        """Works on one file."""
        write_lines(done(path), self.work(path, read_lines(path)))

    def work(self, path: str, lines: Iterator[str]) -> Iterator[str]:
        """Yields lines for lines."""
        raise NotImplementedError


class ReadFiles(Pass):
    """Reads, judges and hashes files: FileRecords as JSON -> the same with a digest, or with a reason."""

    def __init__(self, root: str, settings: IngestSettings, kind: FileKind):
        self._root, self._settings, self._kind = root, settings, kind

    def setup(self) -> None:
        """Opens what is known of files of the same bytes."""
        self._verdicts = verdict_cache(self._settings, self._kind)

    def teardown(self) -> None:
        """Closes it."""
        if self._verdicts:
            self._verdicts.close()

    def work(self, path: str, lines: Iterator[str]) -> Iterator[str]:
        """Yields the completed records."""
        for listed, read in read_files(self._root, map(FileRecord.from_json, lines)):
            try:
                data = read()
                record = dataclasses.replace(listed, **(self._judged(data) if listed.has_file else {}))
                if record.objects is not None and not record.reason:
                    check_size(data, record.objects)
                if record.mask is not None and not record.reason:
                    labels, mask = read_mask(self._root, record, data)
                    record = dataclasses.replace(record, labels=labels, mask_sha256=hashlib.sha256(mask).hexdigest())
                if record.text is not None and not record.reason:
                    record = dataclasses.replace(
                        record, sha256=hashlib.sha256(raw_of(record, data, self._kind)).hexdigest()
                    )
            except FileProblem as problem:
                record = listed.without(problem)
            Progress.step()
            yield record.to_json()
        if self._verdicts:
            self._verdicts.flush()

    def _judged(self, data: bytes) -> dict[str, Any]:
        """Returns fields of a FileRecord; of what an earlier run has judged, without looking at the bytes."""
        digest = hashlib.sha256(data)
        known = self._verdicts.get(digest.digest()) if self._verdicts else None
        if known is not None:
            return json.loads(known)
        try:
            self._kind.check(data, self._settings)
            content = self._kind.content(data)
            verdict = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        except FileProblem as problem:
            verdict = {"reason": problem.reason, "detail": problem.detail}
        if self._verdicts:
            self._verdicts.put(digest.digest(), json.dumps(verdict).encode())
        return verdict


class WriteShard(Pass):
    """Writes one shard as one file, in order: its path, then FileRecords as JSON -> the records that were lost."""

    def __init__(self, root: str, kind: FileKind):
        self._root, self._kind = root, kind

    def work(self, path: str, lines: Iterator[str]) -> Iterator[str]:
        """Yields the records of files that went away or changed since they were hashed."""
        shard = json.loads(next(lines))
        unfinished = f"{path}.{uuid.uuid4().hex}"
        # The bytes of pictures are compressed already, and those of sounds shrink little.
        with tf.io.TFRecordWriter(unfinished) as writer:
            for record, read in read_files(self._root, map(FileRecord.from_json, lines)):
                try:
                    content = raw_of(record, read(), self._kind)
                    if hashlib.sha256(content).hexdigest() != record.sha256:
                        raise FileProblem("changed", "it was changed while the data was read")
                    mask = None if record.mask is None else read_mask(self._root, record)[1]
                    if mask is not None and hashlib.sha256(mask).hexdigest() != record.mask_sha256:
                        raise FileProblem("changed", "its mask was changed while the data was read")
                    name = features.IMAGE_TEXT if record.text is not None else self._kind.feature
                    writer.write(make_example(record, content, name, mask))
                except FileProblem as problem:
                    yield record.without(problem).to_json()
                Progress.step()
        tf.io.gfile.rename(unfinished, shard, overwrite=True)


def raw_of(record: FileRecord, data: bytes, kind: FileKind) -> bytes:
    """Returns the raw feature of a file, with the words that come with it where there are any."""
    content = kind.content(data) if record.has_file else b""
    return content if record.text is None else pack({features.IMAGE: content, features.TEXT: record.text.encode()})


def read_files(root: str, records: Iterable[FileRecord]) -> Iterator[tuple[FileRecord, Callable[[], bytes]]]:
    """Yields each record, in order, with what returns its file's bytes, or raises the FileProblem that there is.

    Of a bucket, several files are on their way at a time: each takes longer to come than to judge.
    """

    def reading(record: FileRecord) -> Callable[[], bytes]:
        return partial(read_file, os.path.join(root, record.path)) if record.has_file else bytes

    if not is_bucket(root):
        yield from ((record, reading(record)) for record in records)
        return
    waiting: deque[tuple[FileRecord, Callable[[], bytes]]] = deque()
    with ThreadPoolExecutor(READERS) as pool:
        for record in records:
            waiting.append((record, pool.submit(reading(record)).result))
            if len(waiting) == READERS:
                yield waiting.popleft()
        yield from waiting


def verdict_cache(settings: IngestSettings, kind: FileKind) -> ExampleCache | None:
    """Opens what earlier runs found out about bytes, by digest; None where nothing is kept.

    A verdict depends on the code that judges, on the libraries that decode, and on what counts as too large.
    """
    if settings.cache_dir is None:
        return None
    made_by = f"verdict of {settings.judged_by} with {kind.judged_by(settings)}"
    return ExampleCache(Path(settings.cache_dir), made_by, settings.cache_gb * 2**30)


def done(path: str) -> str:
    """Returns where the result of a pass over `path` is."""
    return f"{path}.done"


def read_lines(path: str) -> Iterator[str]:
    """Yields the lines of a file that `write_lines` left."""
    with tf.io.gfile.GFile(path) as file:
        for line in file:
            yield line.rstrip("\n")


def write_lines(path: str, lines: Iterable[str]) -> None:
    """Writes lines of ASCII to a file, which appears when it is whole."""
    unfinished = f"{path}.{uuid.uuid4().hex}"
    with tf.io.gfile.GFile(unfinished, "w") as file:
        file.write("".join(f"{line}\n" for line in lines))
    tf.io.gfile.rename(unfinished, path, overwrite=True)


def make_example(record: FileRecord, data: bytes, name: str, mask: bytes | None = None) -> bytes:
    """Returns a serialized tf.Example of bytes: `label`, and with one value each `name`, path, sha256, slice columns.

    With a group column also `group`; an example whose group is not known is one by itself. With spans also `span`, and
    where it is known where objects are, `boxes`.

    Args:
        record: A usable file or row. Its path is written as the bytes that the file system has.
        data: What becomes the feature `name`, as it is.
        name: Of the feature that the model will read.
        mask: What becomes `mask`; None where there is none.
    """
    values = {
        name: data,
        "path": record.path.encode("utf-8", "surrogateescape"),
        "sha256": record.sha256.encode(),
        **{name: value.encode() for name, value in record.slices.items()},
    }
    if record.group is not None:
        values[features.GROUP] = (record.group or record.sha256).encode()
    if record.span is not None:
        values[features.SPAN] = record.span.encode()
    if record.objects is not None:
        values[features.BOXES] = record.objects.encode()
    if mask is not None:
        values[features.MASK] = mask
    lists = {name: [value] for name, value in values.items()}
    lists[features.LABEL] = [label.encode() for label in record.labels]
    feature = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=value)) for name, value in lists.items()}
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return example.SerializeToString(deterministic=True)

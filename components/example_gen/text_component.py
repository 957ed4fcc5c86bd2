"""The TFX component for texts: reads tables, and writes their rows as examples in three splits."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec

from components.example_gen.component import (
    ROOT_KEY,
    SETTINGS_KEY,
    ExampleGenSpec,
    FingerprintDriver,
    finish,
    make_spec,
    output_artifact,
    shard_files,
    stop_for_problems,
)
from components.example_gen.passes import make_example
from components.example_gen.progress import Progress
from components.example_gen.selection import select_examples
from components.example_gen.settings import IngestSettings
from components.example_gen.tables import fingerprint_tables, read_tables
from components.example_gen.tasks import TASKS
from transforms import features


class TextDriver(FingerprintDriver):
    """Identifies tables by their bytes."""

    def fingerprint(self, root: str, settings: IngestSettings) -> str:
        """See `tables.fingerprint_tables`."""
        return fingerprint_tables(root)


class TextExecutor(base_executor.BaseExecutor):
    """Reads every row, decides about all of them together, and writes the examples.

    Without Beam: a table is read from its beginning to its end, and its texts fit into memory where its bytes do.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills the `examples` artifact: Split-{train,val,test}/*.gz, and ingest_report.json beside them.

        Raises:
            DataError: The data cannot be trained on; the message says why.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        settings = IngestSettings.from_json(exec_properties[SETTINGS_KEY])
        artifact = output_artifact(output_dict)
        tables = read_tables(exec_properties[ROOT_KEY], settings)
        selection = select_examples(
            tables.listing, tables.listing.files, settings.max_bad_fraction, TASKS[settings.task]
        )
        stop_for_problems(selection, settings)
        with Progress("TextExampleGen", selection.report.used, "examples"):
            for path, records in shard_files(selection.examples, artifact):
                with tf.io.TFRecordWriter(path, "GZIP") as writer:
                    for record in records:
                        writer.write(make_example(record, tables.texts[record.sha256].encode(), features.TEXT))
                Progress.step(len(records))
        finish(artifact, selection)


class TextExampleGen(base_component.BaseComponent):
    """Ingests texts as `examples` with the splits train, val and test.

    Features, one bytes value each: `text` (UTF-8), `label`, `path` (`FILE:LINE`), `sha256` (hex, of the text) and the
    slice columns. The artifact's folder also holds `ingest_report.json`.
    """

    SPEC_CLASS = ExampleGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(TextExecutor)
    DRIVER_CLASS = TextDriver

    def __init__(self, root: str, settings: dict[str, Any]):
        """Takes the path of a table or of a folder of tables, and settings as `component.make_spec` does."""
        super().__init__(spec=make_spec(root, settings))

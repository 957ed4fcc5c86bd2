"""What the TFX components of tables share: they write rows as examples in three splits."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_component, base_executor

from components.example_gen.component import (
    ROOT_KEY,
    SETTINGS_KEY,
    ExampleGenSpec,
    FingerprintDriver,
    finish,
    make_spec,
    node_id,
    output_artifact,
    shard_files,
    spans_of,
)
from components.example_gen.corrections import corrected
from components.example_gen.files import FileProblem
from components.example_gen.layouts import Listing
from components.example_gen.passes import make_example
from components.example_gen.progress import Progress
from components.example_gen.settings import IngestSettings
from components.example_gen.settled_selection import select
from components.example_gen.spans import list_spans
from components.example_gen.tables import fingerprint_tables, read_tables


class TableDriver(FingerprintDriver):
    """Identifies tables by their bytes."""

    def fingerprint(self, root: str, settings: IngestSettings) -> str:
        """See `tables.fingerprint_tables`."""
        return fingerprint_tables(root)


class TableExecutor(base_executor.BaseExecutor):
    """Reads every row, decides about all of them together, and writes the examples.

    Without Beam: a table is read from its beginning to its end, and its values fit into memory where its bytes do.

    Attributes:
        NODE_ID: Of the component's node, unless that has an id of its own.
        FEATURE: Raw feature that the value in `data.text_column`, or those in `data.text_columns`, become.
    """

    NODE_ID: str
    FEATURE: str

    def problem_of(self, value: str, settings: IngestSettings) -> FileProblem | None:
        """Says why a value cannot be used; None for one that can."""
        raise NotImplementedError

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
        own_id = node_id(self._context, self.NODE_ID)
        artifact = output_artifact(output_dict)
        texts: dict[str, str] = {}

        def list_one(root: str) -> Listing:
            tables = read_tables(root, settings, self.problem_of)
            texts.update(tables.texts)
            return tables.listing

        spans = spans_of(exec_properties, lambda root, settings: fingerprint_tables(root))
        listing = list_spans(spans, settings, list_one) if spans else list_one(exec_properties[ROOT_KEY])
        listing = corrected(listing, settings)
        selection = select(listing, listing.files, settings)
        with Progress(own_id, selection.report.used, "examples"):
            for path, records in shard_files(selection.examples, artifact, ".gz"):
                with tf.io.TFRecordWriter(path, "GZIP") as writer:
                    for record in records:
                        text = texts[record.sha256]
                        writer.write(make_example(record, text.encode(), self.FEATURE))
                Progress.step(len(records))
        finish(artifact, selection)


class TableExampleGen(base_component.BaseComponent):
    """Ingests rows as `examples` with the splits train, val and test.

    Features, bytes values: what the executor makes of `data.text_column` (UTF-8), `label`, `path` (`FILE:LINE`),
    `sha256` (hex, of the value) and the slice columns; with spans also `span`. The artifact's folder also holds
    `ingest_report.json`.
    """

    SPEC_CLASS = ExampleGenSpec
    DRIVER_CLASS = TableDriver

    def __init__(self, root: str, settings: dict[str, Any]):
        """Takes the path of a table or of a folder of tables, and settings as `component.make_spec` does."""
        super().__init__(spec=make_spec(root, settings))

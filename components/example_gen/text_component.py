"""The TFX component for texts in tables."""

from __future__ import annotations

from tfx.dsl.components.base import executor_spec

from components.example_gen.files import FileProblem
from components.example_gen.settings import IngestSettings
from components.example_gen.table_component import TableExampleGen, TableExecutor
from components.example_gen.text_problem import text_problem
from transforms import features


class TextExecutor(TableExecutor):
    """Writes texts that have letters, and not too many."""

    NODE_ID = "TextExampleGen"
    FEATURE = features.TEXT

    def problem_of(self, value: str, settings: IngestSettings) -> FileProblem | None:
        """See `text_problem.text_problem`."""
        return text_problem(value, settings)


class TextExampleGen(TableExampleGen):
    """Ingests texts as the feature `text`."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(TextExecutor)

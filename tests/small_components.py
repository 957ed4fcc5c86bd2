"""A pipeline of two small nodes: `Write` writes a text, `Measure` its length, or fails while a file is there."""

from pathlib import Path  # No annotations from __future__: TFX reads those of the functions.

from tfx.dsl.compiler import compiler
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration import pipeline
from tfx.proto.orchestration import pipeline_pb2
from tfx.types.standard_artifacts import Model


@component
def Write(text: Parameter[str], written: OutputArtifact[Model]):
    """Writes a text."""
    Path(written.uri, "text").write_text(text)


@component
def Measure(
    written: InputArtifact[Model], unit: Parameter[str], obstacle: Parameter[str], length: OutputArtifact[Model]
):
    """Writes the length of the text."""
    if Path(obstacle).exists():
        raise ValueError("cannot measure")
    Path(length.uri, "length").write_text(f"{len(Path(written.uri, 'text').read_text())} {unit}")


def compiled(text: str = "abc", unit: str = "letters", obstacle: str = "/nowhere") -> pipeline_pb2.Pipeline:
    """Returns the pipeline's IR."""
    write = Write(text=text)
    measure = Measure(written=write.outputs["written"], unit=unit, obstacle=obstacle)
    made = pipeline.Pipeline("small", "artifacts", components=[write, measure], enable_cache=True)
    return compiler.Compiler().compile(made)

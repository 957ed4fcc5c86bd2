"""Pipelines of small components: such as can be packaged, and such as cannot."""

# No annotations from __future__: TFX reads those of the functions.
from pathlib import Path

from tfx import v1 as tfx
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.control_flow.for_each import ForEach
from tfx.dsl.experimental.conditionals.conditional import Cond
from tfx.dsl.placeholder import placeholder as placeholders
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.kubeflow.decorators import FinalStatusStr
from tfx.types.standard_artifacts import Model

PLACE = "small_pipelines"


@component
def Number(number: Parameter[int]) -> OutputDict(doubled=int):
    """Gives twice a number."""
    return {"doubled": 2 * number}


@component
def Write(text: Parameter[str], number: Parameter[int], written: OutputArtifact[Model]):
    """Writes a text and a number."""
    Path(written.uri, "text").write_text(f"{text} {number}")


@component
def Read(brought: InputArtifact[Model], written: InputArtifact[Model], joined: OutputArtifact[Model]):
    """Joins what was brought and what was written."""
    texts = [Path(one.uri, "text").read_text() for one in (brought, written)]
    Path(joined.uri, "text").write_text(" and ".join(texts))


@component
def Status(status: Parameter[str]):
    """Does nothing."""


def made(*nodes: BaseNode, **settings: object) -> tfx.dsl.Pipeline:
    return tfx.dsl.Pipeline("small", **{"pipeline_root": "artifacts", "components": list(nodes), **settings})


def several_kinds() -> tfx.dsl.Pipeline:
    """An Importer of `brought`, a value of a run, and a value that a node before gives."""
    brought = tfx.dsl.Importer(source_uri="brought", artifact_type=Model).with_id("Brought")
    number = Number(number=RuntimeParameter(name="a-number", ptype=int, default=3))
    text = RuntimeParameter(name="text", ptype=str, default="some")
    write = Write(text=text, number=number.outputs["doubled"].future()[0].value)
    read = Read(brought=brought.outputs["result"], written=write.outputs["written"])
    return made(brought, number, write, read, enable_cache=True)


def conditional() -> tfx.dsl.Pipeline:
    number = Number(number=1)
    with Cond(number.outputs["doubled"].future()[0].value > 1):
        write = Write(text="a", number=1)
    return made(number, write)


def for_each() -> tfx.dsl.Pipeline:
    write = Write(text="a", number=1)
    with ForEach(write.outputs["written"]) as one:
        read = Read(brought=one, written=one)
    return made(write, read)


def container() -> tfx.dsl.Pipeline:
    kind = tfx.dsl.experimental.create_container_component(name="Shell", image="busybox", command=["true"])
    return made(kind())


def exit_handler() -> tfx.dsl.Pipeline:
    return made(Status(status=FinalStatusStr()))


def nested() -> tfx.dsl.Pipeline:
    return made(tfx.dsl.Pipeline("inner", components=[Number(number=1)]))


def beam_placeholder() -> tfx.dsl.Pipeline:
    gen = tfx.components.CsvExampleGen(input_base="data")
    gen.with_beam_pipeline_args([placeholders.execution_invocation().pipeline_run_id])
    return made(gen)


def elsewhere() -> tfx.dsl.Pipeline:
    return made(Number(number=1), pipeline_root="gs://bucket/artifacts")


def without_default() -> tfx.dsl.Pipeline:
    one = RuntimeParameter(name="a-b", ptype=int)
    return made(Number(number=one), Number(number=RuntimeParameter(name="a.b", ptype=int, default=1)).with_id("Other"))


def no_pipeline() -> str:
    return "no pipeline"


def takes(folder: str) -> tfx.dsl.Pipeline:
    return made(Number(number=len(folder)))


def with_code(module_file: str) -> tfx.dsl.Pipeline:
    gen = tfx.components.CsvExampleGen(input_base="data")
    model = tfx.dsl.Importer(source_uri="brought", artifact_type=Model).with_id("Brought")
    judge = tfx.components.Evaluator(
        examples=gen.outputs["examples"], model=model.outputs["result"], module_file=module_file
    )
    return made(gen, model, judge)

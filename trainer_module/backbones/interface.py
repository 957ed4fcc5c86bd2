"""How a SavedModel is called as a backbone, and whether that fits a config. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Sequence

from finetune.config.backbone import BackboneConfig
from finetune.errors import BackboneError
from trainer_module.backbones.saved_model import Interface, SavedModel, Tensor

# What encoders of texts call the output that stands for the whole text, most wanted first.
_WHOLE_TEXT = ("pooled_output", "default")


def interface_of(saved: SavedModel) -> Interface:
    """How the model is called as a backbone: its `__call__`, else its serving signature.

    Raises:
        BackboneError: It has neither.
    """
    if saved.call:
        return saved.call
    if not saved.signatures:
        raise BackboneError(
            f"{saved.folder}: it has neither a `__call__` nor a signature; nothing can be done with it."
        )
    return saved.signatures[serving_signature(saved)]


def serving_signature(saved: SavedModel) -> str:
    """`serving_default` if there is one, else the first."""
    return "serving_default" if "serving_default" in saved.signatures else next(iter(saved.signatures))


def picture_problems(saved: SavedModel, config: BackboneConfig) -> list[str]:
    """Holds a model of pictures against the config: every difference in its input and output, with both sides.

    Raises:
        BackboneError: It cannot be called at all.
    """
    interface = interface_of(saved)
    problems = []
    size = config.image_size
    wanted = (None, size, size, 3)
    if len(interface.inputs) != 1:
        problems.append(
            f"backbone.handle: the model takes {_listed(interface.inputs)}; the pipeline gives one batch of pictures, "
            f"float32 [any, {size}, {size}, 3]"
        )
    else:
        (entry,) = interface.inputs
        if not entry.dtype.startswith("float"):
            problems.append(f"backbone.handle: the model takes {entry}; pictures are float32")
        elif entry.dtype != "float32" or not _fits(entry.shape, wanted):
            problems.append(
                f"backbone.image_size: got {size}, a batch of float32 [any, {size}, {size}, 3]; the model takes {entry}"
            )
    vector_or_map = "a feature vector [any, channels] or a feature map [any, height, width, channels] of floats"
    return problems + _output_problems(interface, config.output, "model", (2, 4), vector_or_map)


def text_output(saved: SavedModel, config: BackboneConfig) -> str | None:
    """Returns the name of the output to take of an encoder: the config's, or the one that stands for the whole text."""
    if config.output:
        return config.output
    interface = interface_of(saved)
    names = [tensor.name for tensor in interface.outputs]
    return next((name for name in _WHOLE_TEXT if name in names), None) if len(names) > 1 else None


def text_problems(saved: SavedModel, preprocessor: SavedModel | None, config: BackboneConfig) -> list[str]:
    """Holds an encoder of texts against its preprocessor and the config, as `picture_problems` does.

    Raises:
        BackboneError: One of them cannot be called at all.
    """
    interface, output = interface_of(saved), text_output(saved, config)
    problems = []
    takes_strings = len(interface.inputs) == 1 and interface.inputs[0].dtype == "string"
    if preprocessor:
        made = interface_of(preprocessor).outputs
        missing = [tensor for tensor in interface.inputs if tensor.name not in {other.name for other in made}]
        if missing or len(made) != len(interface.inputs):
            problems.append(
                f"backbone.text.preprocessor: it makes {_listed(made)}; the encoder takes {_listed(interface.inputs)}"
            )
    elif not takes_strings:
        problems.append(
            f"backbone.handle: the encoder takes {_listed(interface.inputs)}, and texts are strings; give the "
            "SavedModel that makes these of them as backbone.text.preprocessor"
        )
    return problems + _output_problems(interface, output, "encoder", (2,), "floats [any, channels]")


def code_problems(saved: SavedModel, config: BackboneConfig) -> list[str]:
    """Finds operations that reach outside, unless the config allows them."""
    if not saved.unsafe_ops or config.allow_unsafe:
        return []
    return [
        f"backbone.handle: {config.handle} has operations that run Python or touch files: "
        f"{', '.join(saved.unsafe_ops)}. If you trust it, set backbone.allow_unsafe: true."
    ]


def _output_problems(
    interface: Interface, output: str | None, model: str, ranks: Sequence[int], taken: str
) -> list[str]:
    """Holds the output of this name, or the only one, against what the head takes."""
    named = {tensor.name: tensor for tensor in interface.outputs}
    given = f"the {model} gives {_listed(interface.outputs)}"
    if not output and len(named) > 1:
        return [f"backbone.output: missing; {given}"]
    if output and output not in named:
        return [f"backbone.output: got {output!r}; {given}"]
    chosen = named[output] if output else interface.outputs[0]
    if chosen.dtype.startswith("float") and (chosen.shape is None or len(chosen.shape) in ranks):
        return []
    return [f"backbone.{'output' if output else 'handle'}: the {model} gives {chosen}; the head takes {taken}"]


def _fits(shape: tuple[int | None, ...] | None, wanted: tuple[int | None, ...]) -> bool:
    if shape is None:
        return True
    return len(shape) == len(wanted) and all(
        offered is None or asked is None or offered == asked for offered, asked in zip(shape, wanted, strict=True)
    )


def _listed(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(map(str, tensors))

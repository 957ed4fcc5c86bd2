"""`finetune inspect`: what a SavedModel expects and offers as a backbone."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from finetune_cli.modalities import MODALITIES

# TF Hub's common signature for images; a SavedModel itself does not say what range it was trained with.
COMMON_RANGE = "0 to 1 by TF Hub's common signature for images, else as its page says; the model does not hold it"


def facts_of(handle: str) -> dict[str, Any]:
    """Reads a handle.

    Returns:
        Facts by name: `inputs` and `outputs` are lists of `name`, `dtype` and `shape`, `output_rank` is None where
        there are several outputs, `trainable` says whether it can be fine-tuned, `fits` how a config would use it.

    Raises:
        BackboneError: It cannot be had or read.
    """
    from finetune.digests import sha256_of
    from trainer_module.backbones.interface import interface_of
    from trainer_module.backbones.saved_model import read_saved_model
    from trainer_module.backbones.sources.handle import resolve_handle

    folder = resolve_handle(handle)
    model = read_saved_model(folder)
    interface = interface_of(model)
    inputs, outputs = (
        [{"name": one.name, "dtype": one.dtype, "shape": one.shape} for one in tensors]
        for tensors in (interface.inputs, interface.outputs)
    )
    shape = outputs[0]["shape"] if len(outputs) == 1 else None
    is_image = len(inputs) == 1 and interface.inputs[0].dtype.startswith("float") and len(inputs[0]["shape"] or ()) == 4
    trainable = [variable for variable in model.variables if variable.trainable]
    return {
        "handle": handle,
        "folder": str(folder),
        "inputs": inputs,
        "input_range": COMMON_RANGE if is_image else None,
        "outputs": outputs,
        "output_rank": None if shape is None else len(shape),
        "trainable": model.call is not None and bool(trainable),
        "takes_training": interface.takes_training,
        "trainable_variables": len(trainable),
        "trainable_parameters": model.trainable_parameters,
        "parameters": model.parameters,
        "regularization_losses": model.regularization_losses,
        "signatures": list(model.signatures),
        "assets": list(model.assets),
        "unsafe_operations": list(model.unsafe_ops),
        "bytes": model.size,
        "sha256": sha256_of(folder),
        "tensorflow": model.tensorflow,
        "fits": next((fits for each in MODALITIES.values() if (fits := each.fits(inputs))), None),
    }


def print_facts(facts: dict[str, Any], console: Console) -> None:
    """Prints them, one a line."""
    lines = {
        "folder": facts["folder"],
        "takes": _tensors(facts["inputs"]),
        "range": facts["input_range"],
        "gives": _tensors(facts["outputs"]),
        "rank": facts["output_rank"],
        "training": _training(facts),
        "parameters": f"{facts['parameters']:,}, of which {facts['trainable_parameters']:,} can be trained, in "
        f"{facts['trainable_variables']} variables",
        "signatures": ", ".join(facts["signatures"]) or "none",
        "assets": ", ".join(facts["assets"]) or "none",
        "unsafe": f"{', '.join(facts['unsafe_operations'])}: needs backbone.allow_unsafe"
        if facts["unsafe_operations"]
        else "no operation that runs Python or touches files",
        "size": f"{facts['bytes'] / 2**20:.1f} MiB, written by TensorFlow {facts['tensorflow']}",
        "sha256": facts["sha256"],
        "config": facts["fits"],
    }
    for name, value in lines.items():
        if value is not None:
            console.print(f"{name:11} {value}", highlight=False, markup=False, soft_wrap=True)


def _training(facts: dict[str, Any]) -> str:
    if not facts["trainable"]:
        return "frozen only: it has no `__call__` with trainable variables"
    mode = "follows training and inference mode" if facts["takes_training"] else "has one mode"
    losses = facts["regularization_losses"]
    return f"can be fine-tuned; {mode}; {losses or 'no'} regularisation loss{'' if losses == 1 else 'es'}"


def _tensors(tensors: list[dict[str, Any]]) -> str:
    def shape(sizes: tuple[int | None, ...] | None) -> str:
        return "any rank" if sizes is None else "[" + ", ".join(str(size) if size else "any" for size in sizes) + "]"

    return "; ".join(f"{one['name']} {one['dtype']} {shape(one['shape'])}".strip() for one in tensors)

"""`finetune apply-adapter`: the backbone of a config with an adapter merged into it, as a file."""

from __future__ import annotations

from pathlib import Path

from finetune.artifacts.training_history import BackboneOrigin
from finetune.config import Config
from finetune.errors import ConfigError
from trainer_module.backbones.sources import origin_of, source_of
from trainer_module.peft.artifact import Adapter


def apply_adapter(path: Path, config: Config, output: Path | None) -> tuple[str, int]:
    """Writes the merged backbone.

    Args:
        path: Of the adapter, or of its folder.
        config: Whose backbone it is put on.
        output: The file to write, which must not be there.

    Returns:
        The key of a config that takes the file, and how many variables the adapter changed.

    Raises:
        ConfigError: The backbone is one of several, cannot be written, or not to this file.
        BackboneError: Its weights are not those that the adapter was trained on.
        RunError: The adapter cannot be read.
    """
    adapter = Adapter.read(path)
    if config.backbone.is_open:
        raise ConfigError(["backbone.name: got 'auto'; expected the backbone that the adapter was trained on"])
    source = source_of(config.backbone)
    if source.written_as is None:
        raise ConfigError(
            [f"backbone: {source.record(config.backbone).name} cannot be written with other weights; expected a Keras "
             "network by `backbone.name` or `backbone.file`"]
        )  # fmt: skip
    key, ending = source.written_as
    if output is None or output.suffix != ending or output.exists():
        wanted = f"ends with {ending}" if ending else "has no ending, of a folder"
        problem = "is there already" if output and output.exists() else f"is not what {key} takes"
        got = f"got {str(output)!r}, which {problem}" if output else "missing"
        raise ConfigError([f"--output: {got}; expected a new name that {wanted}, such as adapted{ending}"])

    import tf_keras as keras

    from trainer_module.backbones.model import build_backbone
    from trainer_module.peft.adapters import weights_of
    from trainer_module.phases.freezing import variable_name

    keras.backend.clear_session()
    backbone = build_backbone(config.backbone)
    origin = BackboneOrigin.model_validate({**origin_of(config.backbone), "sha256": backbone.weights_sha256})
    changed = adapter.put_on(weights_of(backbone), origin)
    for variable in backbone.variables:
        if variable_name(variable) in changed:
            variable.assign(changed[variable_name(variable)])
    output.parent.mkdir(parents=True, exist_ok=True)
    source.write(config.backbone, backbone, output)
    return key, len(changed)

"""`training_state.safetensors`: what training needs to go on from a model, beside its export. No TensorFlow here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from finetune.artifacts.base import Record
from finetune.artifacts.training_history import BackboneOrigin
from finetune.config import PeftConfig
from finetune.digests import sha256_of
from finetune.errors import BackboneError, RunError
from finetune.files import replacing
from finetune.run_time import KIND
from transforms.backbone import Backbone
from transforms.modalities import transform_settings

FILE = "training_state.safetensors"
_Content = TypeVar("_Content")


class StateFacts(Record):
    """What the weights belong to.

    Attributes:
        classes: Names of the columns of the last layer.
        backbone: The pretrained one that training began with at first.
        shapes: Of its variables, in the order in which they were made.
        preprocessing: What an input goes through before the backbone.
        units: Widths of the hidden layers of the head.
        moved: Whether training changed the backbone.
        recipe: The candidate of `strategy: auto` that was chosen; empty where phases were given.
        flips: Whether mirror images stood for pictures.
        pooled_blocks: How many blocks of the backbone the head takes.
        peft: The section `training.peft`, whose factors are among the variables; None without.
    """

    classes: list[str]
    backbone: BackboneOrigin
    shapes: list[list[int]]
    preprocessing: dict[str, Any]
    units: list[int]
    moved: bool
    recipe: str = ""
    flips: bool = False
    pooled_blocks: int = 1
    peft: PeftConfig | None = None

    @classmethod
    def find(cls, folder: str | Path) -> StateFacts | None:
        """Reads them without the weights; None where there is no file.

        Raises:
            RunError: It is damaged, or was written by a later version.
        """
        return _read(folder, cls._of)

    @classmethod
    def _of(cls, file: Any) -> StateFacts:
        return cls.model_validate(json.loads((file.metadata() or {}).get("facts", "{}")))


@dataclass(frozen=True)
class TrainingState:
    """The weights of a model, and what they belong to."""

    facts: StateFacts
    # Variables of the backbone, by their place; those that are missing are as they were pretrained.
    backbone: Mapping[int, np.ndarray]
    head: Mapping[str, Sequence[np.ndarray]]  # Kernel and offset of each dense layer, by its name.

    def write(self, folder: str | Path) -> None:
        """Writes the file into a folder, in one step."""
        arrays = {f"backbone.{place}": value for place, value in self.backbone.items()}
        arrays |= {
            f"head.{name}.{place}": value for name, pair in self.head.items() for place, value in enumerate(pair)
        }
        with replacing(Path(folder, FILE)) as unfinished:
            plain = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
            save_file(plain, unfinished, {"facts": json.dumps(self.facts.plain())})

    @classmethod
    def find(cls, folder: str | Path) -> TrainingState | None:
        """Reads the file of a folder; None where there is none.

        Raises:
            RunError: It is damaged, or was written by a later version.
        """
        return _read(folder, cls._of)

    @classmethod
    def _of(cls, file: Any) -> TrainingState:
        backbone: dict[int, np.ndarray] = {}
        head: dict[str, list[np.ndarray]] = {}
        for key in sorted(file.keys()):
            part, _, rest = key.partition(".")
            if part == "backbone":
                backbone[int(rest)] = file.get_tensor(key)
            else:
                head.setdefault(rest.rpartition(".")[0], []).append(file.get_tensor(key))
        return cls(StateFacts._of(file), backbone, head)

    def check(self, now: StateFacts) -> None:
        """Holds it against what is to be trained.

        Raises:
            BackboneError: Backbone, preprocessing or head are not those of the champion; every difference is named.
        """
        then = self.facts
        found = [
            f"{what}: the champion has {before}, the config {after}"
            for what, before, after in (
                ("backbone", _weights(then.backbone), _weights(now.backbone)),
                ("backbone.pooled_blocks", then.pooled_blocks, now.pooled_blocks),
                ("training.head.units", then.units, now.units),
                ("training.peft", then.peft or "none", now.peft or "none"),
                *((f"preprocessing, {key}", then.preprocessing.get(key), now.preprocessing.get(key))
                  for key in sorted({*then.preprocessing, *now.preprocessing})),
            )
            if before != after
        ]  # fmt: skip
        if not found and then.shapes != now.shapes:
            found = ["backbone: the champion's has other variables, as with another backbone.arguments or cut_at"]
        if found:
            raise BackboneError(
                f"training.start_from: got 'champion', whose weights do not fit. {'; '.join(found)}. Expected the "
                "champion's own, or training.start_from=backbone to begin anew"
            )


def _read(folder: str | Path, of: Callable[[Any], _Content]) -> _Content | None:
    path = Path(folder, FILE)
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            return of(file)
    except (SafetensorError, ValidationError, ValueError) as error:
        raise RunError(
            f"{path}: cannot be read: {error}. Set training.start_from=backbone to train without the champion."
        ) from None


def _weights(backbone: BackboneOrigin) -> str:
    """Names pretrained weights by their digest, wherever their file lies, and random ones by the network."""
    return f"the weights with sha256 {backbone.sha256}" if backbone.sha256 else f"a random {backbone.name}"


def preprocessing_of(record: Backbone) -> dict[str, Any]:
    """Returns what an input goes through before the backbone; files are known by their digest, not by their place."""
    settings = transform_settings(record)
    digests = {
        name: sha256_of(Path(value["path"]))
        for name, value in settings.items()
        if isinstance(value, dict) and value.get(KIND) == "file_digest"
    }
    files = {name.removesuffix("_sha256") for name in digests}
    kept = {name: value for name, value in settings.items() if name not in files}
    return {**kept, **digests, "scaling": record.scaling}

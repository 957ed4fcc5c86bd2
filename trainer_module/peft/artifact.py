"""`adapter.safetensors`: what training changed of a backbone by `training.peft`, and on what it may be put.

No TensorFlow here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from finetune.artifacts.base import Record
from finetune.artifacts.training_history import BackboneOrigin
from finetune.config import PeftConfig
from finetune.errors import BackboneError, RunError
from finetune.files import replacing
from trainer_module.peft.low_rank import FACTORS, A, B, merged

FILE = "adapter.safetensors"


class AdapterFacts(Record):
    """What an adapter belongs to.

    Attributes:
        peft: How it was trained.
        backbone: Where the weights came from that it changes.
        digest: Of these weights, as `digest_of` gives it.
    """

    peft: PeftConfig
    backbone: BackboneOrigin
    digest: str


@dataclass(frozen=True)
class Adapter:
    """An adapter holds, by the names of the backbone's variables, factors of updates or values in their place."""

    facts: AdapterFacts
    arrays: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, facts: AdapterFacts, weights: Mapping[str, np.ndarray]) -> Adapter:
        """Takes what was trained from the weights of a backbone, updates included."""
        return cls(facts, {name: value for name, value in weights.items() if re.search(facts.peft.trained, name)})

    def write(self, folder: str | Path) -> None:
        """Writes the file into a folder, in one step."""
        with replacing(Path(folder, FILE)) as unfinished:
            plain = {name: np.ascontiguousarray(value) for name, value in self.arrays.items()}
            save_file(plain, unfinished, {"facts": json.dumps(self.facts.plain())})

    @classmethod
    def read(cls, path: Path) -> Adapter:
        """Reads the file, or that of a folder.

        Raises:
            RunError: It is not there, or no adapter.
        """
        path = path / FILE if path.is_dir() else path
        try:
            with safe_open(path, framework="np") as file:
                facts = AdapterFacts.model_validate(json.loads((file.metadata() or {}).get("facts", "{}")))
                return cls(facts, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - no mapping
        except FileNotFoundError:
            raise RunError(
                f"{path}: missing; expected the {FILE} of a run with training.peft, or the folder that it is in"
            ) from None
        except (SafetensorError, ValidationError, ValueError, OSError) as error:
            raise RunError(f"{path}: cannot be read as an adapter: {error}") from None

    def put_on(self, weights: Mapping[str, np.ndarray], backbone: BackboneOrigin) -> dict[str, np.ndarray]:
        """Returns the weights of a backbone that change, with the adapter merged, by their names.

        Args:
            weights: Of all variables of the backbone, by their names.
            backbone: Where they came from, for the message.

        Raises:
            BackboneError: They are others than the adapter was trained on.
        """
        if digest_of(weights) != self.facts.digest:
            raise BackboneError(
                f"backbone: got {_said(backbone)}; the adapter was trained on {_said(self.facts.backbone)}, and goes "
                "on no others"
            )
        scale = self.facts.peft.scale
        changed = {}
        for name, value in self.arrays.items():
            if name.endswith(A):
                kernel = name.removesuffix(A)
                changed[kernel] = merged(weights[kernel], value, self.arrays[kernel + B], scale)
            elif not name.endswith(B):
                changed[name] = value
        return changed


def digest_of(weights: Mapping[str, np.ndarray]) -> str:
    """Returns the SHA-256 over names, types, shapes and values of weights without updates, of whatever file."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        if name.endswith(FACTORS):
            continue
        digest.update(repr((name, value.dtype.str, value.shape)).encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _said(backbone: BackboneOrigin) -> str:
    weights: Any = f"the weights with sha256 {backbone.sha256}" if backbone.sha256 else "random weights"
    return f"{backbone.name} with {weights}"

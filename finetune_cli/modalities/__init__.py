"""What `finetune predict` and `finetune inspect` have to know of a modality.

One modality more is one file with an object like those in `MODALITIES`, and one line there;
`finetune_cli.modalities.contract.check_modality` is its contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from finetune_cli.modalities.audio import Audio
from finetune_cli.modalities.image import Image
from finetune_cli.modalities.image_text import ImageText
from finetune_cli.modalities.text import Text


class CommandModality(Protocol):
    """What commands ask of a modality.

    Attributes:
        example: Arguments of `finetune predict MODEL_DIR`, after the model.
    """

    example: str

    def why_not(self, content: bytes) -> str:
        """Gives the reason that ingest would give for leaving out what a model could not read."""

    def fits(self, inputs: Sequence[Mapping[str, Any]]) -> str | None:
        """Says how a config would use a SavedModel as a backbone of this modality.

        Args:
            inputs: `name`, `dtype` and `shape` of each.

        Returns:
            The keys, or why it cannot; None where it takes something else.
        """


MODALITIES: dict[str, CommandModality] = {
    "audio": Audio(),
    "image": Image(),
    "image_text": ImageText(Image()),
    "text": Text(),
}

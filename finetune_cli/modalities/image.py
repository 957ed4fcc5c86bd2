"""Picture files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.example_gen.files import FileProblem
from components.example_gen.images import check_image
from finetune.config import DataConfig


class Image:
    """Paths of pictures."""

    example = "image.jpg"

    def why_not(self, content: bytes) -> str:
        """Looks at the format, the size and the end of the file."""
        try:
            check_image(content, DataConfig.model_fields["max_pixels"].default)
        except FileProblem as problem:
            return str(problem)
        return "the model cannot decode it"

    def fits(self, inputs: Sequence[Mapping[str, Any]]) -> str | None:
        """Wants one batch of floats [any, height, width, channels]."""
        if len(inputs) != 1 or not inputs[0]["dtype"].startswith("float") or len(inputs[0]["shape"] or ()) != 4:
            return None
        height, width = inputs[0]["shape"][1:3]
        size = str(height) if height and height == width else "any size that its page names" if not height else None
        return f"backbone.handle with backbone.image_size: {size}" if size else "its pictures are not square"

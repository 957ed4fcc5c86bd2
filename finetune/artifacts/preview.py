"""How an example is shown in a report."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, TypeVar

from finetune.artifacts.base import Record

Shown = TypeVar("Shown", bound="Preview")


class Preview(Record):
    """A picture, maybe with a sound to play, or a text; None of what there is not.

    Attributes:
        image: File of a picture.
        sound: File of a sound.
        text: The beginning of a text.
    """

    FILES: ClassVar[tuple[str, ...]] = ("image", "sound")

    image: str | None = None
    sound: str | None = None
    text: str | None = None

    def within(self: Shown, folder: Path) -> Shown:
        """Returns this with whole paths of files that lie in a folder."""
        files = {name: getattr(self, name) for name in self.FILES}
        return self.model_copy(update={name: str(folder / file) for name, file in files.items() if file})

"""What a modality asks of the ingest: the component that reads it, and what in a config is about it.

One modality more is one file with an object like those in `MODALITIES`, and one line there;
`components.example_gen.modalities.contract.check_modality` is its contract. `component` alone imports TFX.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from components.example_gen.modalities.audio import Audio
from components.example_gen.modalities.image import Image
from components.example_gen.modalities.image_text import ImageText
from components.example_gen.modalities.text import Text

if TYPE_CHECKING:
    from tfx.dsl.components.base.base_component import BaseComponent

    from components.example_gen.settings import IngestSettings


class IngestModality(Protocol):
    """What the ingest asks of a modality.

    Attributes:
        node_id: Of the component: its class's name.
        on_beam: Whether the component runs on Beam, so that `beam.components` can say where.
        judge: Import path of the module that says which files are usable, whose verdicts are kept for later runs; None
            where none are.
        shown: What a backbone of it is shown, in the plural, for messages.
        layouts: Values of `data.layout` that go with it.
        keys: Keys of what is read that are about it, and about no other unless that has them too.
    """

    node_id: str
    on_beam: bool
    judge: str | None
    shown: str
    layouts: tuple[str, ...]
    keys: tuple[str, ...]

    def component(self) -> type[BaseComponent]:
        """Returns the component, which takes `root` and `settings` as `component.make_spec` does."""

    def fingerprint(self, root: str, settings: IngestSettings) -> str:
        """Returns what the component's driver does: a string that changes when the data does."""

    def recognises(self, path: Path) -> bool:
        """Tells whether a path looks like a `data.root` of it, by names alone."""

    def root_problem(self, path: Path) -> str | None:
        """Says why a path cannot be `data.root`, before anything there is read; None for one that can."""

    def raw(self, data: bytes) -> bytes:
        """Makes the raw feature of the bytes of a file that somebody wants predicted, as the component does of its own.

        Raises:
            FileProblem: That cannot be made of them.
        """


# Where several recognise a path, the first of them has it.
MODALITIES: dict[str, IngestModality] = {
    "audio": Audio(),
    "image": Image(),
    "text": Text(),
    "image_text": ImageText(Image()),
}

"""Sounds, in folders or listed in a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from components.example_gen.files import PICTURE_EXTENSIONS, SOUND_EXTENSIONS, first_named

if TYPE_CHECKING:
    from components.example_gen.audio_component import AudioExampleGen
    from components.example_gen.settings import IngestSettings


class Audio:
    """One file an example."""

    node_id = "AudioExampleGen"
    on_beam = True
    judge: str | None = "components.example_gen.sounds"
    shown = "sounds"
    layouts: tuple[str, ...] = ("auto", "classes", "splits", "manifest")
    keys: tuple[str, ...] = ("data.manifest", "data.path_column", "data.max_seconds")

    def component(self) -> type[AudioExampleGen]:
        """Returns AudioExampleGen."""
        from components.example_gen.audio_component import AudioExampleGen

        return AudioExampleGen

    def fingerprint(self, root: str, settings: IngestSettings) -> str:
        """Returns names, labels, sizes and times of the files, as a digest."""
        from components.example_gen.fingerprint import fingerprint

        return fingerprint(root, settings)

    def recognises(self, path: Path) -> bool:
        """Finds a folder in which a sound comes before any picture."""
        return first_named(path, (*PICTURE_EXTENSIONS, *SOUND_EXTENSIONS)).endswith(SOUND_EXTENSIONS)

    def root_problem(self, path: Path) -> str | None:
        """Wants a folder."""
        return None if path.is_dir() else "which is not a folder here; expected a folder of sounds"

    def raw(self, data: bytes) -> bytes:
        """Returns a WAV file with 16 bits a sample."""
        from components.example_gen.settings import IngestSettings
        from components.example_gen.sounds import SoundFiles

        SoundFiles().check(data, IngestSettings())
        return SoundFiles().content(data)

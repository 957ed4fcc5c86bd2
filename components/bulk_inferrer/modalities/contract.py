"""The contract of `PreviewModality`, which every entry of `MODALITIES` keeps."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from components.bulk_inferrer.modalities import MODALITIES


def check_modality(name: str, value: bytes, folder: Path) -> None:
    """Makes a preview of an example.

    Args:
        name: Key of the table.
        value: The raw feature of an example.
        folder: Empty.

    Raises:
        AssertionError: The modality breaks the contract; the message says how.
    """
    preview = MODALITIES[name].preview(value, folder / "7")
    shown = ({"text"}, {"image"}, {"image", "sound"}, {"image", "text"})
    assert set(preview) in shown, f"{name} shows {sorted(preview)}; expected `text`, or `image` and maybe `sound`"
    written = sorted(file.name for file in folder.iterdir())
    text = preview.pop("text", "")
    assert len(text) <= 1000, f"{name} shows {len(text)} characters of one example"
    text.encode()
    named = sorted(preview.values())
    assert written == named, f"{name} names {', '.join(named)}, and writes {written}"
    if not named:
        return
    assert {Path(file).stem for file in named} == {"7"}, f"{name} writes beside the path that it was given"
    with Image.open(folder / preview["image"]) as picture:
        assert picture.format in ("JPEG", "PNG"), f"{name} writes {picture.format}, which the report does not show"
        assert max(picture.size) <= 400, f"{name} writes a preview of {picture.size} pixels"
    if "sound" in preview:
        sound = (folder / preview["sound"]).read_bytes()
        assert sound.startswith(b"fLaC"), f"{name} writes a sound that is no FLAC, which the report does not play"

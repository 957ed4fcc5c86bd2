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
    assert set(preview) in ({"text"}, {"image"}), f"{name} shows {sorted(preview)}; expected `text` or `image`"
    written = sorted(file.name for file in folder.iterdir())
    if "text" in preview:
        assert not written, f"{name} shows a text, and writes {written}"
        assert len(preview["text"]) <= 1000, f"{name} shows {len(preview['text'])} characters of one example"
        preview["text"].encode()
        return
    assert written == [preview["image"]], f"{name} names {preview['image']}, and writes {written}"
    assert Path(preview["image"]).stem == "7", f"{name} writes beside the path that it was given"
    with Image.open(folder / preview["image"]) as picture:
        assert picture.format in ("JPEG", "PNG"), f"{name} writes {picture.format}, which the report does not show"
        assert max(picture.size) <= 400, f"{name} writes a preview of {picture.size} pixels"

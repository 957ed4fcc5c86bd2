"""The contract of `CommandModality`, which every entry of `MODALITIES` keeps."""

from __future__ import annotations

from finetune_cli.modalities import MODALITIES


def check_modality(name: str) -> None:
    """Holds a modality against what commands rely on.

    Raises:
        AssertionError: The modality breaks the contract; the message says how.
    """
    modality = MODALITIES[name]
    assert modality.example.strip(), f"{name} shows no example of what `finetune predict` takes"
    for content in (b"", b"\xff\xfe", b"noise"):
        assert modality.why_not(content).strip(), f"{name} gives no reason against {content!r}"
    strange = {"name": "x", "dtype": "complex64", "shape": (None, 2)}
    assert modality.fits([strange, strange]) is None, f"{name} takes two inputs of complex numbers for its own"

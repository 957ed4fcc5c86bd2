"""Finds the folder of a handle; TensorFlow is needed for URLs alone."""

from __future__ import annotations

import os
from pathlib import Path

from finetune.errors import BackboneError

# TensorFlow Hub's variable for the folder of downloaded models; without it they go below the temporary folder.
CACHE_VARIABLE = "TFHUB_CACHE_DIR"


def resolve_handle(handle: str) -> Path:
    """Returns the folder of a SavedModel, downloading it if it is a URL that the cache does not hold.

    Raises:
        BackboneError: It cannot be had.
    """
    if "://" not in handle:
        return Path(handle)
    import tensorflow_hub as hub

    try:
        return Path(hub.resolve(handle))
    except Exception as error:  # Resolvers raise whatever their protocol does.
        raise BackboneError(
            f"backbone.handle: {handle} could not be downloaded: {error}\n"
            f"Without a network: download it elsewhere, unpack it, and give its folder as backbone.handle; or copy "
            f"that machine's folder of {CACHE_VARIABLE} here. {CACHE_VARIABLE} is "
            f"{os.environ.get(CACHE_VARIABLE) or 'not set: downloads go to a temporary folder'}."
        ) from error

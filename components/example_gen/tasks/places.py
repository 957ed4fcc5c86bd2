"""What the data of pictures may not say that are labelled place by place, with boxes or masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def beside_places(data: Mapping[str, Any], task: str, places: str, instead: str) -> list[str]:
    """Names keys of the section `data` that are of labels of whole pictures.

    Args:
        data: The section, as it was read.
        task: The task.
        places: What its pictures have, such as `boxes`.
        instead: What is to be corrected in place of labels, such as `the manifest`.
    """
    why = {
        "corrections": f"it corrects labels, and not {places}. With task {task}, leave it out, and correct {instead}",
        "serving_log": f"what was served has no {places}. With task {task}, leave it out",
    }
    return [f"data.{key}: got {data[key]!r}; {text}" for key, text in why.items() if data.get(key)]

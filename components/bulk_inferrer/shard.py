"""What all models said about the examples of one file, as a file. A worker writes it, and the component joins them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from components.bulk_inferrer.answers import Answers


@dataclass(frozen=True)
class Shard:
    """Examples and answers, in the order of the file.

    Attributes:
        paths: Where each example came from.
        digests: The SHA-256 of each one's bytes, in hexadecimal digits.
        labels: True labels of each.
        columns: Values of each to slice by, by column; an empty text where there is none.
        models: Answers of each model, by its name.
        objects: What is where in each picture, as the task's `places` writes it; empty texts where the data do not say
            it.
        contents: int [examples, 2], what the sides of each are, as `evaluation.retrieval` has it; None where a model
            has no vectors of sides.
    """

    paths: Sequence[str]
    digests: Sequence[str]
    labels: Sequence[Sequence[str]]
    columns: Mapping[str, Sequence[str]]
    models: Mapping[str, Answers]
    objects: Sequence[str]
    contents: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def write(self, path: Path) -> None:
        """Writes it in one step, so that a worker that is killed and one that does its work again leave it whole."""
        facts: dict[str, Any] = {
            "paths": self.paths,
            "digests": self.digests,
            "labels": self.labels,
            "columns": self.columns,
            "objects": self.objects,
        }
        facts["classes"] = {name: list(answers.classes) for name, answers in self.models.items()}
        arrays: dict[str, Any] = {"facts": np.frombuffer(json.dumps(facts).encode(), np.uint8)}
        for name, answers in self.models.items():
            arrays[f"model/{name}"] = answers.probabilities
            if answers.said is not None:
                arrays[f"said/{name}"] = answers.said
            if answers.found is not None:
                arrays[f"found/{name}"] = answers.found
            if answers.vectors is not None:
                arrays[f"vectors/{name}"] = answers.vectors
        if self.contents is not None:
            arrays["contents"] = self.contents
        unfinished = path.with_name(f"{path.name}.{uuid4().hex}")
        with unfinished.open("wb") as file:
            np.savez(file, **arrays)
        os.replace(unfinished, path)

    @classmethod
    def read(cls, path: Path) -> Shard:
        """Reads it back."""
        with np.load(path) as saved:
            facts = json.loads(saved["facts"].tobytes())
            models = {
                name: Answers(
                    saved[f"model/{name}"],
                    classes,
                    *(saved.get(f"{kind}/{name}") for kind in ("said", "found", "vectors")),
                )
                for name, classes in facts.pop("classes").items()
            }
            contents = saved.get("contents")
        return cls(**facts, models=models, contents=contents)

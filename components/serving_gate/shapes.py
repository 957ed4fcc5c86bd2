"""Shapes of what is served of each example. No TensorFlow here."""

from __future__ import annotations

from typing import Literal, TypeAlias

# Stands for the number of classes, which a model has and a task has not.
CLASSES: Literal["classes"] = "classes"
# Stands for any number, such as that of a picture's rows, which the backbone decides.
ANY: Literal["any"] = "any"
Shape: TypeAlias = tuple[int | Literal["classes", "any"], ...]

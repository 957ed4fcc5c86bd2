"""Objects in a picture, as they travel in the raw feature `boxes`: one text a picture. No TensorFlow here.

The first line has height and width in pixels, and each other line a box: its upper, left, lower and right edge in
shares of height and width, whether it is around a crowd, and the name of its class, which may have spaces in it.
"""

from __future__ import annotations

from dataclasses import dataclass

# More would be rows of numbers that every picture of a batch takes room for.
MOST_OBJECTS = 500


@dataclass(frozen=True)
class Box:
    """One object, or a crowd of them."""

    name: str  # Of its class.
    edges: tuple[float, float, float, float]  # Upper, left, lower, right, in [0, 1].
    is_crowd: bool = False  # Whether it stands for any number of objects, none of which is told apart.


@dataclass(frozen=True)
class Objects:
    """What is in a picture."""

    height: int  # In pixels, as the picture is looked at.
    width: int
    boxes: tuple[Box, ...] = ()

    def to_text(self) -> str:
        """Returns what `from_text` reads."""
        lines = [f"{self.height} {self.width}"]
        for box in self.boxes:
            numbers = " ".join(f"{edge:.8g}" for edge in box.edges)
            lines.append(f"{numbers} {int(box.is_crowd)} {box.name}")
        return "\n".join(lines)

    @classmethod
    def from_text(cls, text: str) -> Objects:
        """Reads what `to_text` wrote; an empty text is a picture of no size, without objects."""
        first, *lines = text.split("\n")
        height, width = map(int, first.split()) if first else (0, 0)
        boxes = []
        for line in lines:
            *edges, crowd, name = line.split(" ", 5)
            upper, left, lower, right = map(float, edges)
            boxes.append(Box(name, (upper, left, lower, right), crowd == "1"))
        return cls(height, width, tuple(boxes))

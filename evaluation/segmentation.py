"""Which class a model says that each pixel is of, held against masks. No TensorFlow here.

Of each picture and class, three numbers are kept: pixels that are of it and said to be, pixels that are said to be, and
pixels that are. They are the diagonal, the columns and the rows of the confusion matrix of pixels, and add up over
pictures, so that metrics of all pixels of a split follow from them. Void pixels count nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evaluation.predictions import OfSeveralClasses, part_of, ratio

# Places in the last axis of pixels.
HITS, SAID, ACTUAL = 0, 1, 2
# Of a class in a picture: less overlap (IoU) counts as a mistake.
ENOUGH = 0.5


def in_columns(pixels: np.ndarray, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Returns pixels [pictures, len(names), numbers] in the order of classes, all of `names` among them."""
    found = np.zeros((len(pixels), len(classes), pixels.shape[2]), pixels.dtype)
    found[:, [classes.index(name) for name in names]] = pixels
    return found


def count_pixels(truth: np.ndarray, said: np.ndarray, counted: np.ndarray, classes: int) -> np.ndarray:
    """Counts the pixels of a picture.

    Args:
        truth: int [height, width], the column of each pixel's class; one below 0 is of none that `said` could name.
        said: int [height, width], the column that the model says.
        counted: bool [height, width]: void pixels are not.
        classes: How many columns there are.

    Returns:
        int64 [classes, 2]: HITS and SAID.
    """
    truth, said = truth[counted], said[counted]
    columns = (np.bincount(pixels, minlength=classes) for pixels in (said[truth == said], said))
    return np.stack(list(columns), axis=1).astype(np.int64)


@dataclass(frozen=True)
class Segmentation(OfSeveralClasses):
    """Predictions of pixels; of the classes in a picture, they are those of several labels.

    Attributes:
        actual: bool [pictures, classes], those of which there is a pixel.
        probabilities: float [pictures, classes] in [0, 1], of the pixel where the class is the likeliest to be.
        said: bool [pictures, classes], those of which a pixel is said to be.
        pixels: int64 [pictures, classes, 3], counts: HITS, SAID and ACTUAL.
    """

    actual: np.ndarray
    probabilities: np.ndarray
    said: np.ndarray
    pixels: np.ndarray
    groups: np.ndarray | None = None
    remembered: np.ndarray | None = None

    def __getitem__(self, chosen: np.ndarray | slice) -> Segmentation:
        return Segmentation(
            self.actual[chosen],
            self.probabilities[chosen],
            self.said[chosen],
            self.pixels[chosen],
            part_of(self.groups, chosen),
            part_of(self.remembered, chosen),
        )

    @cached_property
    def overlaps(self) -> np.ndarray:
        """float [pictures, classes], the IoU of each class in each picture; 1 where it is neither there nor said."""
        hits, either = self.pixels[..., HITS], union(self.pixels)
        return np.where(either > 0, ratio(hits, either), 1.0)

    @cached_property
    def mistakes(self) -> np.ndarray:
        """int [pictures]: classes that are there or said, and overlap by less than ENOUGH."""
        return (self.overlaps < ENOUGH).sum(axis=1)

    @cached_property
    def correct(self) -> np.ndarray:
        """bool [pictures]: whether each class that is there or said overlaps by ENOUGH."""
        return self.mistakes == 0

    def sums(self, weights: np.ndarray) -> np.ndarray:
        """Sums pixels over pictures weighted [replicates, pictures]: float [replicates, classes, 3]."""
        return np.tensordot(weights, self.pixels.astype(np.float64), axes=1)


def union(pixels: np.ndarray) -> np.ndarray:
    """Returns of counts [..., 3] how many pixels are of a class or said to be."""
    return pixels[..., SAID] + pixels[..., ACTUAL] - pixels[..., HITS]

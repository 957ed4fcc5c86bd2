"""Which split a file belongs to: by its folder, or by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass

from components.example_gen.settings import SPLITS
from finetune.errors import DataError, did_you_mean

DEFAULT_CUT = 0.15
# From the most to the least held out: of identical files in two splits, the first of these keeps its copy.
HELD_OUT_ORDER = ("test", "val", "train")


@dataclass(frozen=True)
class SplitPlan:
    """How files are divided.

    Attributes:
        folders: Split to the folder (or manifest value) that becomes it; empty when all files are cut by content.
        cuts: Fraction of the train folder (or of everything, without folders) cut by content; `val`, `test` or both.
        salt: Prefix of the hashed content.
    """

    folders: Mapping[str, str]
    cuts: Mapping[str, float]
    salt: str = ""

    def held_out_folder(self, folder: str | None) -> str | None:
        """Returns val or test for a file in a folder that is named for it; None for one that is to be cut."""
        return next((split for split, name in self.folders.items() if name == folder and split != "train"), None)

    @property
    def fractions(self) -> dict[str, float]:
        """Share of train and of each split that is cut, of what is cut; they add up to 1."""
        return {
            "train": 1 - sum(self.cuts.values()),
            **{split: self.cuts[split] for split in SPLITS if split in self.cuts},
        }

    def position(self, sha256: str) -> float:
        """Returns a number in [0, 1) that looks random and depends on nothing but the content and the salt."""
        digest = hashlib.sha256(self.salt.encode() + bytes.fromhex(sha256)).digest()
        return int.from_bytes(digest[:6], "big") / 2**48

    def fill(self, cut: Mapping[str, str], settled: Container[str] = ()) -> dict[str, str]:
        """Gives each split that was asked for and got nothing one unit of the split that has most.

        Args:
            cut: Hex SHA-256 of each unit, such as of a group's name, to its split.
            settled: Units that stay where they are.
        """
        filled = dict(cut)
        for split in self.fractions:
            of_split: dict[str, list[str]] = {name: [] for name in (*self.fractions, *filled.values())}
            for sha256, own in filled.items():
                of_split[own].append(sha256)
            free = {name: [sha256 for sha256 in units if sha256 not in settled] for name, units in of_split.items()}
            givers = [name for name, units in of_split.items() if len(units) > 1 and free[name]]
            if givers and not of_split[split]:
                most = max(givers, key=lambda name: len(of_split[name]))
                filled[min(free[most], key=lambda sha256: (self.position(sha256), sha256))] = split
        return filled

    def cut_by_content(self, sha256: str) -> str:
        """Returns the split of a content by its position alone."""
        position, start = self.position(sha256), 0.0
        for split in HELD_OUT_ORDER[:2]:
            start += self.cuts.get(split, 0.0)
            if position < start:
                return split
        return "train"


def plan_splits(
    splits: Mapping[str, float | str] | None, offered: Collection[str] | None, salt: str, where: str
) -> SplitPlan:
    """Matches the wanted splits with what the data offers.

    Args:
        splits: Per split a folder's name or a fraction; None takes the folders train, val and test that are offered
            and cuts each missing one from train at 0.15, or cuts everything at 0.7 / 0.15 / 0.15.
        offered: Names of folders (or values of the manifest's split column); None when the layout has none.
        salt: See SplitPlan.
        where: What `offered` are, for error messages, such as `folders of /data`.

    Raises:
        DataError: A named folder is not offered, is named twice, or the layout has no split folders.
    """
    if splits is None:
        if offered is None:
            return SplitPlan({}, {"val": DEFAULT_CUT, "test": DEFAULT_CUT}, salt)
        splits = {split: split if split in offered else DEFAULT_CUT for split in SPLITS}
        splits["train"] = "train"
    folders = {split: value for split, value in splits.items() if isinstance(value, str)}
    cuts = {split: value for split, value in splits.items() if split != "train" and not isinstance(value, str)}
    if folders and offered is None:
        raise DataError(
            f"data.splits: got the names {', '.join(map(repr, folders.values()))}, and this layout has no named splits "
            "to take. Give fractions, or set data.layout to `splits` or data.split_column for a manifest."
        )
    for split, name in folders.items():
        if offered is not None and name not in offered:
            there = ", ".join(sorted(map(repr, offered))) or "(none)"
            raise DataError(f"data.splits.{split}: got {name!r}; the {where} are {there}.{did_you_mean(name, offered)}")
        first = next(other for other, value in folders.items() if value == name)
        if first != split:
            raise DataError(
                f"data.splits.{split}: got {name!r}, which is already {first}; expected another name, or a fraction to "
                "cut from train."
            )
    return SplitPlan(folders, cuts, salt)

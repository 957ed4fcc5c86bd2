"""Data that come span after span: `store/{SPAN}`, or `store/{YYYY}-{MM}-{DD}`.

A span has a number, as TFX counts them: of a date, the days since 1970-01-01. Its name is the number without padding,
or the date as ISO 8601 has it, whatever its folder is called.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from finetune import buckets
from finetune.errors import DataError
from finetune.file_stats import stats_of

_SPECS = {
    "{SPAN}": "(?P<span>[0-9]{1,18})",  # What MLMD holds as an int64.
    "{YYYY}": "(?P<year>[0-9]{4})",
    "{MM}": "(?P<month>[0-9]{2})",
    "{DD}": "(?P<day>[0-9]{2})",
}
_SPEC = re.compile(r"\{[A-Z]+(?::[^{}/]*)?\}")
_EPOCH = date(1970, 1, 1)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
EXPECTED = "expected {SPAN} once, or each of {YYYY}, {MM} and {DD} once, such as store/{SPAN}"
SHOWN = 5


@dataclass(frozen=True, order=True)
class Span:
    """One span.

    Attributes:
        number: Orders spans.
        name: Says which it is, such as `7` or `2024-03-01`.
        path: Of its folder or table, below the folder that holds them all, with `/`.
    """

    number: int
    name: str
    path: str


@dataclass(frozen=True)
class Found:
    """What is there: the spans in their order, and what lies where a span could and is not called like one."""

    spans: list[Span]
    strangers: list[str]


@dataclass(frozen=True)
class Resolved:
    """What a window stands for today.

    Attributes:
        spans: To read, in their order.
        waiting: There, wanted and not complete yet.
        strangers: See Found.
    """

    spans: list[Span]
    waiting: list[Span]
    strangers: list[str]


@dataclass(frozen=True)
class Window:
    """Which spans are wanted.

    Attributes:
        last: How many of the latest complete ones; None for all.
        chosen: Out of these, such as `7`, `3..9`, `3..` or `..2024-03-01`; empty for all.
        marker: Name of the file that says that a span is complete; None when none has to.
        min_age: Seconds for which nothing in a span has changed before it counts as complete.
    """

    last: int | None = None
    chosen: Sequence[str] = ()
    marker: str | None = None
    min_age: float = 0.0


class SpanPattern:
    """A root with a place for the span in it.

    Attributes:
        root: As the config has it.
        base: The folder that holds all spans.
        by_date: Whether a date tells the span.
    """

    def __init__(self, root: str):
        """Takes a root for which `is_pattern` holds.

        Raises:
            ValueError: It is none that can be understood.
        """
        specs = Counter(_SPEC.findall(root))
        self.by_date = "{SPAN}" not in specs
        wanted = Counter(list(_SPECS)[1:] if self.by_date else list(_SPECS)[:1])
        if specs != wanted:
            raise ValueError(EXPECTED)
        self.root = root
        *base, first = root[: root.index("{")].split("/")
        self.base = "/".join(base) or ("/" if root.startswith("/") else ".")
        self._parts = (first + root[root.index("{") :]).rstrip("/").split("/")
        tail = _SPEC.split(self._parts[-1])[-1]
        self._may_be_files = bool(_SPEC.search(self._parts[-1])) and "." in tail

    def number(self, name: str) -> int:
        """Returns the number of the span of that name.

        Raises:
            ValueError: It is the name of none.
        """
        if self.by_date:
            return (date.fromisoformat(name) - _EPOCH).days
        if not re.fullmatch(_SPECS["{SPAN}"], name):
            raise ValueError(f"expected a number of a span, and got {name!r}")
        return int(name)

    def find(self) -> Found:
        """Lists the spans that are there.

        Raises:
            DataError: The folder cannot be listed, a date is none, two folders are the same span, or one leads back to
                a folder that it lies in.
            RunError: The bucket cannot be listed.
        """
        strangers: list[str] = []
        spans: dict[int, Span] = {}
        for path, values in self._places(strangers):
            span = self._span(path, values)
            if span.number in spans:
                raise DataError(
                    f"data.root: {self.base!r} has {spans[span.number].path!r} and {path!r}, which are both span "
                    f"{span.name}; expected one. Merge them, or rename one."
                )
            spans[span.number] = span
        return Found(sorted(spans.values()), sorted(strangers))

    def resolve(self, window: Window, now_ns: int | None = None) -> Resolved:
        """Decides which spans are read.

        Args:
            window: Which are wanted.
            now_ns: Nanoseconds since 1970; None for what the clock says.

        Raises:
            DataError: There is none, none is complete, or one that was named is not there; or see `find`.
            RunError: The bucket cannot be listed.
        """
        found, now = self.find(), now_ns if now_ns is not None else time.time_ns()
        wanted = [span for span in found.spans if self._is_chosen(span, window.chosen)]
        spans: list[Span] = []
        waiting: list[Span] = []
        # From the latest back: what lies before the window is not looked at.
        for span in reversed(wanted):
            if window.last is not None and len(spans) == window.last:
                break
            (spans if self._is_complete(span, window, now) else waiting).insert(0, span)
        self._check_chosen(window.chosen, found, spans, waiting)
        if not spans:
            raise DataError(self._nothing(found, waiting, window))
        return Resolved(spans, waiting, found.strangers)

    def check_choice(self, text: str) -> None:
        """Reads one entry of `data.spans`.

        Raises:
            ValueError: It is neither the name of a span nor a range of them.
        """
        self._bounds(text)

    def _places(self, strangers: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
        """Yields the path and the values of each place that matches, and notes what does not."""
        places: list[tuple[str, dict[str, str]]] = [("", {})]
        for position, part in enumerate(self._parts):
            if not _SPEC.search(part):
                below = [(_join(path, part), values) for path, values in places]
                strangers += [path for path, _ in below if not self._exists(path)]
                places = [place for place in below if self._exists(place[0])]
                continue
            pattern = re.compile("".join(_SPECS.get(piece, re.escape(piece)) for piece in _pieces(part)))
            may_be_file = position == len(self._parts) - 1 and self._may_be_files
            deeper = []
            for path, values in places:
                for name, is_folder in self._names(path):
                    match = pattern.fullmatch(name)
                    if match and (is_folder or may_be_file):
                        deeper.append((_join(path, name), values | match.groupdict()))
                    else:
                        strangers.append(_join(path, name))
            places = deeper
        yield from places

    def _names(self, path: str) -> list[tuple[str, bool]]:
        place = os.path.join(self.base, path) if path else self.base
        try:
            if buckets.is_bucket(place):
                names = buckets.names(place)
            else:
                with os.scandir(place) as entries:
                    names = sorted((entry.name, _is_folder(entry)) for entry in entries)
        except (OSError, ValueError) as error:
            raise DataError(
                f"data.root: got {self.root!r}; the folder {place!r} cannot be listed "
                f"({getattr(error, 'strerror', None) or error}). Mend the path, or mount the data there."
            ) from None
        return [(name, is_folder) for name, is_folder in names if not name.startswith(".")]

    def _exists(self, path: str) -> bool:
        return buckets.folder(self._full(path)).exists()

    def _full(self, path: str) -> str:
        return os.path.join(self.base, path)

    def _span(self, path: str, values: dict[str, str]) -> Span:
        if not self.by_date:
            number = int(values["span"])
            name = str(number)
        else:
            name = "-".join(values[each] for each in ("year", "month", "day"))
            try:
                number = self.number(name)
            except ValueError:
                raise DataError(
                    f"data.root: {path!r} in {self.base!r} is named for {name}, which is no date; rename it."
                ) from None
        if not buckets.is_bucket(self.base):
            real, base = (os.path.realpath(each) for each in (self._full(path), self.base))
            if os.path.join(base, "").startswith(os.path.join(real, "")):
                raise DataError(
                    f"data.root: {path!r} in {self.base!r} links back to a folder that it lies in; remove the link."
                )
        return Span(number, name, path)

    def _bounds(self, text: str) -> tuple[int | None, int | None]:
        low, dots, high = text.partition("..")
        try:
            first = self.number(low) if low else None
            last = (self.number(high) if high else None) if dots else first
        except ValueError:
            raise ValueError(self._expected_choice(text)) from None
        if (first is None and last is None) or (first is not None and last is not None and first > last):
            raise ValueError(self._expected_choice(text))
        return first, last

    def _expected_choice(self, text: str) -> str:
        examples = "2024-03-01 or 2024-03-01..2024-04-30" if self.by_date else "7, 3..7, 3.. or ..7"
        return f"got {text!r}; expected spans of {self.root}, such as {examples}"

    def _is_chosen(self, span: Span, chosen: Sequence[str]) -> bool:
        bounds = [self._bounds(text) for text in chosen]
        return not bounds or any(
            (low is None or low <= span.number) and (high is None or span.number <= high) for low, high in bounds
        )

    def _is_complete(self, span: Span, window: Window, now_ns: int) -> bool:
        folder = buckets.folder(self._full(span.path))
        if window.marker is not None and not (folder / window.marker).is_file():
            return False
        return not window.min_age or _last_change_ns(folder) <= now_ns - int(window.min_age * 1e9)

    def _check_chosen(
        self, chosen: Sequence[str], found: Found, spans: Sequence[Span], waiting: Sequence[Span]
    ) -> None:
        there = {span.number for span in found.spans}
        for text in chosen:
            low, high = self._bounds(text)
            if low is None or low != high:
                continue
            if low not in there:
                raise DataError(
                    f"data.spans: got {text}, and {self.base!r} has no such span; there are {_shown(found.spans)}."
                )
            if low in {span.number for span in waiting}:
                raise DataError(
                    f"data.spans: got {text}, which is not complete yet, by data.span_marker or data.span_min_age."
                )

    def _nothing(self, found: Found, waiting: Sequence[Span], window: Window) -> str:
        if waiting:
            signs = [f"the file {window.marker!r}"] if window.marker else []
            signs += [f"no change for {window.min_age:g} seconds"] if window.min_age else []
            return (
                f"data.root: of {self.root!r}, no span that is wanted is complete: {_shown(waiting)} lack "
                f"{' or '.join(signs)} (data.span_marker, data.span_min_age). Wait until one is whole."
            )
        if found.spans:
            return (
                f"data.spans: got {', '.join(window.chosen)}; {self.base!r} has none of these. There are "
                f"{_shown(found.spans)}."
            )
        beside = ", ".join(map(repr, found.strangers[:SHOWN])) or "nothing"
        return f"data.root: got {self.root!r}, and no span is there: {self.base!r} holds {beside}; {EXPECTED}."


def place_of(name: str) -> tuple[int, str]:
    """Orders names of spans: numbers, or dates as ISO 8601 has them."""
    return (int(name), "") if name.isdecimal() else (0, name)


def is_pattern(root: str) -> bool:
    """Tells whether a root has a place for the span in it, well formed or not."""
    return bool(_SPEC.search(root))


def seconds_of(text: str) -> float:
    """Returns the seconds of a time such as `90s`, `30m`, `2h` or `1d`.

    Raises:
        ValueError: It is none.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd])", text)
    if not match:
        raise ValueError("expected a number with its unit, such as 90s, 30m, 2h or 1d")
    return float(match[1]) * _UNITS[match[2]]


def _pieces(part: str) -> list[str]:
    return [piece for piece in re.split(r"(\{[A-Z]+\})", part) if piece]


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # Such as a link to itself.
        return False


def _last_change_ns(place: Path) -> int:
    if buckets.is_bucket(place):
        return max((entry.mtime_ns for entry in buckets.entries(str(place))), default=0)
    return max(stats_of(place).changed_ns, place.stat().st_mtime_ns)


def _shown(spans: Sequence[Span]) -> str:
    names = [span.name for span in spans]
    return ", ".join(names if len(names) <= SHOWN else [*names[:2], "...", *names[-2:]]) or "none"

"""Which spans of the data are read, by their digests, and one listing of all of them. No TensorFlow here."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from components.example_gen.files import FileRecord, list_folder
from components.example_gen.layouts import Listing
from components.example_gen.settings import IngestSettings
from finetune.buckets import is_bucket
from finetune.errors import ConfigError, DataError
from finetune.spans import Span, SpanPattern, Window, is_pattern, seconds_of


@dataclass(frozen=True)
class DataSpans:
    """What of a root with a place for the span is read.

    Attributes:
        base: The folder that holds all spans; paths of examples are relative to it.
        spans: To read, in their order.
        digests: Of each of them: it changes when its data do.
        waiting: Names of those that are there, wanted and not complete yet.
        strangers: Paths below `base` that no span is called like.
    """

    base: str
    spans: tuple[Span, ...]
    digests: tuple[str, ...]
    waiting: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """A string that changes with the spans that are read, and with the data in them."""
        facts = [[span.name, span.path, digest] for span, digest in zip(self.spans, self.digests, strict=True)]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        return f"spans:{len(self.spans)},latest:{self.spans[-1].name},sha256:{digest}"

    def root_of(self, span: Span) -> str:
        """Returns the folder or table of a span, which is what a root is without spans."""
        return os.path.join(self.base, span.path)

    def to_json(self) -> str:
        """Returns one line, also for names that are not UTF-8."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> DataSpans:
        """Reads what `to_json` wrote."""
        values = json.loads(text)
        spans = tuple(Span(**span) for span in values.pop("spans"))
        return cls(base=values.pop("base"), spans=spans, **{name: tuple(found) for name, found in values.items()})


def resolve_spans(root: str, settings: IngestSettings, fingerprint: Callable[[str], str]) -> DataSpans | None:
    """Decides which spans are read now.

    Args:
        root: As the config has it.
        settings: Its window, and what says that a span is complete.
        fingerprint: Of the data below a root without spans, such as `fingerprint.fingerprint`.

    Returns:
        None where the root has no place for a span.

    Raises:
        DataError: No span can be read; the message says why.
        RunError: The bucket cannot be listed.
    """
    if not is_pattern(root):
        return None
    try:
        pattern = SpanPattern(root)
    except ValueError as error:
        raise DataError(f"data.root: got {root!r}; {error}") from None
    try:
        for text in settings.spans:
            pattern.check_choice(text)
    except ValueError as error:
        raise ConfigError([f"data.spans: {error}"]) from None
    window = Window(
        last=settings.window if isinstance(settings.window, int) and settings.replay is None else None,
        chosen=settings.spans,
        marker=settings.span_marker,
        min_age=seconds_of(settings.span_min_age) if settings.span_min_age else 0.0,
    )
    found = pattern.resolve(window)
    return DataSpans(
        base=pattern.base,
        spans=tuple(found.spans),
        digests=tuple(fingerprint(os.path.join(pattern.base, span.path)) for span in found.spans),
        waiting=tuple(span.name for span in found.waiting),
        strangers=tuple(found.strangers),
    )


def data_fingerprint(root: str, settings: IngestSettings, fingerprint: Callable[[str], str]) -> str:
    """Returns a string that changes when the data do, be they in spans or not; for arguments see `resolve_spans`."""
    try:
        spans = resolve_spans(root, settings, fingerprint)
    except DataError as error:
        # The ingest itself then says what is wrong.
        return "unusable:" + hashlib.sha256(str(error).encode(errors="surrogateescape")).hexdigest()
    return fingerprint(root) if spans is None else spans.fingerprint


def list_spans(data: DataSpans, settings: IngestSettings, list_one: Callable[[str], Listing]) -> Listing:
    """Lists all spans together; each may have a layout of its own, and one without anything in it has no files.

    Args:
        data: What is read.
        settings: Of the ingest.
        list_one: Lists a root without spans.

    Raises:
        DataError: A span went away or cannot be understood, or there is nothing in any of them.
    """
    listings: dict[str, Listing] = {}
    files: list[FileRecord] = []
    ignored = list(data.strangers)
    for span in data.spans:
        root = data.root_of(span)
        if _is_empty(root, settings.span_marker):
            continue
        listing = listings[span.name] = list_one(root)
        prefix = span.path if _is_folder(root) else os.path.dirname(span.path)
        files += [
            dataclasses.replace(
                record,
                path=os.path.join(prefix, record.path),
                mask=record.mask and os.path.join(prefix, record.mask),
                span=span.name,
            )
            for record in listing.files
        ]
        ignored += [os.path.join(prefix, name) for name in listing.ignored if name != settings.span_marker]
    if not listings:
        names = ", ".join(span.name for span in data.spans)
        raise DataError(
            f"data.root: nothing is in the spans that are read ({names}) below {data.base!r}; expected examples in one "
            "of them at least. Add some, or widen data.window."
        )
    first = next(iter(listings.values()))
    return Listing(
        layout=first.layout,
        files=files,
        classes=sorted({name for listing in listings.values() for name in listing.classes}),
        plan=first.plan,
        ignored=sorted(ignored),
        plans={name: listing.plan for name, listing in listings.items()},
        spans=data.spans,
        span_digests=data.digests,
        waiting=data.waiting,
        odd_annotations=sum((Counter(listing.odd_annotations) for listing in listings.values()), Counter()),
    )


def _is_folder(root: str) -> bool:
    return os.path.isdir(root) if not is_bucket(root) else "." not in os.path.basename(root)


def _is_empty(root: str, marker: str | None) -> bool:
    if not _is_folder(root):
        return False
    try:
        return not [name for name, _ in list_folder(root) if name != marker]
    except OSError:
        return False  # Whoever lists it says what is wrong.

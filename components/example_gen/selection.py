"""From all files that were read: which become examples of which split, what stops the run, and the report."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from components.example_gen.files import FileProblem, FileRecord, printable
from components.example_gen.layouts import Listing
from components.example_gen.replay import Replay
from components.example_gen.settings import SPLITS
from components.example_gen.splits import HELD_OUT_ORDER, SplitPlan
from components.example_gen.tasks import IngestTask
from finetune.artifacts.example_list import ExampleList, ListedExample
from finetune.artifacts.ingest_report import (
    Conflict,
    Duplicates,
    IngestReport,
    LabelledFile,
    SkippedFile,
    SpanCounts,
    SplitCounts,
)
from finetune.artifacts.split_digests import SplitDigests
from finetune.errors import DataError, did_you_mean

# Left out, but nothing is wrong with the data.
ACROSS_SPLITS = "duplicate across splits"
NOT_REPLAYED = "not replayed"
NOT_BAD = (ACROSS_SPLITS, "duplicate row", NOT_REPLAYED)
# Of fewer, resampling finds too little spread: Cameron, Gelbach and Miller 2008, "Bootstrap-based improvements for
# inference with clustered errors", section IV.
ENOUGH_GROUPS = 20
SHOWN_FILES = 5
SHOWN_PROBLEMS = 10

# Fills a shard, whichever comes first: enough shards to spread over workers, few enough to list.
MAX_SHARD_BYTES = 64 * 2**20
MAX_SHARD_EXAMPLES = 1000


@dataclass(frozen=True)
class Selection:
    """What becomes of the data.

    Attributes:
        examples: Per split (train, val, test) its files, sorted by content digest, then path.
        report: What became of them.
        left_out: The files that are no examples, each with the reason why.
        problems: What stops the run, one message each; empty if nothing does.
        warnings: What the user should know, though it stops nothing.
        settled: SHA-256 of each content and each group that is used, to its split, which later spans keep.
    """

    examples: dict[str, list[FileRecord]]
    report: IngestReport
    left_out: list[FileRecord]
    problems: list[str]
    warnings: list[str]
    settled: dict[str, str]

    @property
    def example_list(self) -> ExampleList:
        """Every file that was looked at, with its split."""
        by_split = {**self.examples, "": self.left_out}
        return ExampleList.of(listed(record, split) for split, records in by_split.items() for record in records)


def select_examples(
    listing: Listing,
    records: Sequence[FileRecord],
    max_bad_fraction: float,
    task: IngestTask,
    known: SplitDigests | None = None,
    replay: Replay | None = None,
    earlier: Collection[str] = (),
) -> Selection:
    """Decides about every file.

    Args:
        listing: What was to be read.
        records: The listing's files after reading: each with a digest, or with a reason why it is unusable.
        max_bad_fraction: A larger fraction of unusable files is a problem.
        task: Cuts what is not in a folder of val or test.
        known: Splits of contents and groups that were used before, which they keep whatever folder they are in now.
        replay: How much of earlier spans is trained on; None of everything.
        earlier: Names of the spans before the window, whose test examples are all kept.
    """
    conflicts = _find_conflicts(records)
    usable, skipped = [], []
    for record in records:
        problem = None if record.reason else _split_or_label_problem(record, listing, conflicts)
        if record.reason or problem:
            skipped.append(record.without(problem) if problem else record)
        else:
            usable.append(record)
    known = known or SplitDigests()
    given = [listing.plan_of(record).held_out_folder(record.folder) for record in usable]
    cut = _cut([record for record, split in zip(usable, given, strict=True) if not split], listing, task, known)
    decided = [
        (record, known.get(_unit(record)) or split or cut[_unit(record)])
        for record, split in zip(usable, given, strict=True)
    ]

    keeper = {record.sha256: split for record in usable if (split := known.get(record.sha256))}
    for split in HELD_OUT_ORDER:
        for record, own_split in decided:
            if own_split == split:
                keeper.setdefault(record.sha256, split)
    examples: dict[str, list[FileRecord]] = {split: [] for split in SPLITS}
    for record, split in decided:
        if keeper[record.sha256] == split:
            examples[split].append(record)
        else:
            detail = f"{keeper[record.sha256]} has the same bytes, and keeps them; this one was for {split}"
            skipped.append(record.without(FileProblem(ACROSS_SPLITS, detail)))
    not_replayed = _not_replayed(examples, replay, earlier) if replay else []
    for record in not_replayed:
        skipped.append(record.without(FileProblem(NOT_REPLAYED, f"span {record.span} is before data.window")))
    left_behind = _left_behind(examples, not_replayed, earlier)
    for files in examples.values():
        files.sort(key=lambda record: (record.sha256, record.path))
    skipped.sort(key=lambda record: (record.path, record.labels))

    report = _report(listing, examples, skipped, conflicts)
    problems = _bad_fraction_problems(listing, report, max_bad_fraction) or [
        *_split_problems(listing, report, left_behind),
        *_divided_groups(listing, examples),
    ]
    warnings = [
        *_odd_annotations(report),
        *_too_rare(listing, report),
        *_few_groups(report),
        *_odd_spans(report),
        *_stayed(listing, examples),
        *_told(left_behind),
    ]
    settled = {
        digest: split
        for split, files in examples.items()
        for record in files
        for digest in (record.sha256, _unit(record))
    }
    return Selection(examples, report, skipped, problems, [] if problems else warnings, settled)


def _not_replayed(examples: dict[str, list[FileRecord]], replay: Replay, earlier: Collection[str]) -> list[FileRecord]:
    """Takes out of train and val what is neither of the window nor replayed, and returns it."""
    of_earlier = {
        split: {record.sha256: record.labels for record in examples[split] if record.span in earlier}
        for split in ("train", "val")
    }
    chosen = replay.chosen(**of_earlier)
    # A copy in the window keeps its place whatever becomes of the earlier one.
    found = []
    for split in of_earlier:
        kept = [record for record in examples[split] if record.span not in earlier or record.sha256 in chosen]
        found += [record for record in examples[split] if record.span in earlier and record.sha256 not in chosen]
        examples[split] = kept
    return found


def _left_behind(
    examples: Mapping[str, Sequence[FileRecord]], not_replayed: Sequence[FileRecord], earlier: Collection[str]
) -> list[str]:
    """Returns the classes of spans before the window alone, of which nothing is trained on any more."""
    learned: set[str] = set()
    before: set[str] = set()
    for record in [*examples["train"], *examples["val"], *examples["test"]]:
        (before if record.span in earlier else learned).update(record.labels)
    learned.update(label for record in examples["train"] for label in record.labels)
    before.update(label for record in not_replayed for label in record.labels)
    return sorted(printable(label) for label in before - learned)


def _told(left_behind: Sequence[str]) -> list[str]:
    if not left_behind:
        return []
    return [
        f"data.window: nothing is trained on of {_few(left_behind)}, which spans before it alone have; their test "
        "examples say what was forgotten. data.replay, or a wider window, brings them back."
    ]


def listed(record: FileRecord, split: str = "") -> ListedExample:
    """Returns what is kept of a file for later runs."""
    labels = tuple(map(printable, record.labels))
    path, span = printable(record.path), record.span or ""
    return ListedExample(path, record.size, record.mtime_ns, record.sha256, labels, split, span)


def make_shards(examples: Iterable[FileRecord]) -> Iterator[list[FileRecord]]:
    """Cuts examples, in their order, into shards of at most 64 MiB of files (or one larger file) and 1,000 examples."""
    shard: list[FileRecord] = []
    size = 0
    for record in examples:
        if shard and (size + record.size > MAX_SHARD_BYTES or len(shard) == MAX_SHARD_EXAMPLES):
            yield shard
            shard, size = [], 0
        shard.append(record)
        size += record.size
    if shard:
        yield shard


def stop_error(selection: Selection, report_path: str | None) -> DataError:
    """Returns the error that stops the run, with the first unusable files and where the whole list is."""
    lines = selection.problems[:SHOWN_PROBLEMS]
    if len(selection.problems) > SHOWN_PROBLEMS:
        lines.append(f"... and {len(selection.problems) - SHOWN_PROBLEMS} more problems of this kind")
    bad = [file for file in selection.report.skipped if file.reason not in NOT_BAD]
    if bad:
        counts = Counter(file.reason for file in bad)
        by_reason = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
        lines.append(f"Unusable {selection.report.unit}: {by_reason}.")
        lines += [f"  {file.path}: {file.reason}: {file.detail}" for file in bad[:SHOWN_FILES]]
        if len(bad) > SHOWN_FILES:
            lines.append(f"  ... and {len(bad) - SHOWN_FILES} more")
    if report_path:
        lines.append(f"The whole list: {report_path}")
    return DataError("\n".join(lines))


def _split_or_label_problem(
    record: FileRecord, listing: Listing, conflicts: dict[str, list[FileRecord]]
) -> FileProblem | None:
    folders = listing.plan_of(record).folders.values()
    if folders and record.folder not in folders:
        expected = ", ".join(map(repr, folders))
        return FileProblem("unknown split", f"got {record.folder!r}; expected one of {expected}")
    if record.sha256 in conflicts:
        labels = sorted({repr(_shown(copy.labels)) for copy in conflicts[record.sha256]})
        return FileProblem("conflict", f"the same bytes are labelled {' and '.join(labels)}")
    return None


def _unit(record: FileRecord) -> str:
    """Hex SHA-256 of what stays in one split: of the group that a record is of, or else of its content."""
    return hashlib.sha256(record.group.encode()).hexdigest() if record.group else record.sha256


def _cut(records: Sequence[FileRecord], listing: Listing, task: IngestTask, known: SplitDigests) -> dict[str, str]:
    """Returns the split of each unit; with groups, no split is empty while there are enough of them."""
    labels: dict[str, set[str]] = defaultdict(set)
    plans: dict[str, SplitPlan] = {}
    for record in records:
        labels[_unit(record)].update(record.labels)
        plans.setdefault(_unit(record), listing.plan_of(record))
    settled = {unit: split for unit in labels if (split := known.get(unit))}
    found: dict[str, str] = {}
    while of_plan := {unit: plan for unit, plan in plans.items() if unit not in found}:
        plan = next(iter(of_plan.values()))
        units = [unit for unit, own in of_plan.items() if own == plan]
        cut = task.cut(plan, {unit: tuple(sorted(labels[unit])) for unit in units}, settled)
        found |= plan.fill(cut, settled) if any(record.group for record in records) else cut
    return found


def _divided_groups(listing: Listing, examples: Mapping[str, Sequence[FileRecord]]) -> list[str]:
    """Returns which groups are in more than one split: what is learned of a patient must not be tested on that one."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for split, records in examples.items():
        for record in records:
            if record.group:
                counts[record.group][split] += 1
    return [
        f"data.group_column: group {printable(group)!r} has "
        f"{' and '.join(f'{count} {listing.unit} in {split}' for split, count in found.items())}; expected a group in "
        "one split alone. Move it there, let data.splits cut fractions by group, or leave out data.group_column."
        for group, found in sorted(counts.items())
        if len(found) > 1
    ]


def _few_groups(report: IngestReport) -> list[str]:
    groups = report.splits["test"].groups
    if groups is None or groups >= ENOUGH_GROUPS:
        return []
    return [
        f"data.group_column: test has {groups} groups; intervals that resample fewer than {ENOUGH_GROUPS} are narrower "
        "than they say. Add groups, or give test a larger share."
    ]


def _odd_annotations(report: IngestReport) -> list[str]:
    if not report.odd_annotations:
        return []
    found = "; ".join(f"{count:,} {what}" for what, count in sorted(report.odd_annotations.items()))
    return [f"data.manifest: annotations: {found}."]


def _odd_spans(report: IngestReport) -> list[str]:
    """Returns which spans are not read yet, and which hold nothing that could be used."""
    found = []
    if report.waiting:
        found.append(f"data.root: not complete, and not read: span {_few(report.waiting)}.")
    if empty := [span.name for span in report.spans if not any(span.splits.values())]:
        found.append(f"data.root: without any usable example: span {_few(empty)}.")
    return found


def _stayed(listing: Listing, examples: Mapping[str, Sequence[FileRecord]]) -> list[str]:
    """Returns which examples are not in the split that their folder says, because they were in another one before."""
    moved = [
        printable(record.path)
        for split, records in examples.items()
        for record in records
        if split not in _possible(listing.plan_of(record), record)
    ]
    if not moved:
        return []
    return [
        f"data.splits: {len(moved)} {listing.unit} stay in the split that they had in an earlier span, and their "
        f"folder says another: {_few(moved)}. Another data.split_salt cuts all of them anew."
    ]


def _possible(plan: SplitPlan, record: FileRecord) -> set[str]:
    """The splits that an example in such a folder can have."""
    held_out = plan.held_out_folder(record.folder)
    return {held_out} if held_out else set(plan.fractions)


def _few(names: Sequence[str]) -> str:
    return ", ".join([*names[:SHOWN_PROBLEMS], *(["..."] if len(names) > SHOWN_PROBLEMS else [])])


def _find_conflicts(records: Sequence[FileRecord]) -> dict[str, list[FileRecord]]:
    """Returns the files of each content that is labelled in more than one way."""
    copies = defaultdict(list)
    for record in records:
        if record.reason is None:
            copies[record.sha256].append(record)
    return {
        sha256: files
        for sha256, files in copies.items()
        if len({(file.labels, file.objects, file.mask_sha256) for file in files}) > 1
    }


def _shown(labels: Sequence[str]) -> str:
    return printable(", ".join(labels))


def _report(
    listing: Listing,
    examples: dict[str, list[FileRecord]],
    skipped: list[FileRecord],
    conflicts: dict[str, list[FileRecord]],
) -> IngestReport:
    bad = sum(record.reason not in NOT_BAD for record in skipped)
    used = sum(map(len, examples.values()))
    files = used + len(skipped)
    across = [printable(record.path) for record in skipped if record.reason == ACROSS_SPLITS]
    return IngestReport(
        unit=listing.unit,
        files=files,
        used=used,
        splits={split: _counts(records) for split, records in examples.items()},
        skipped=[
            SkippedFile(path=printable(record.path), reason=record.reason or "", detail=record.detail or "")
            for record in skipped
        ],
        conflicts=[
            Conflict(
                sha256=sha256,
                files=[LabelledFile(path=printable(copy.path), label=_shown(copy.labels)) for copy in copies],
            )
            for sha256, copies in sorted(conflicts.items())
        ],
        duplicates=Duplicates(
            within_split=used - sum(len({record.sha256 for record in records}) for records in examples.values()),
            across_splits=across,
        ),
        bad_fraction=bad / files if files else 0.0,
        ignored=[printable(path) for path in listing.ignored],
        spans=_spans(listing, examples),
        waiting=list(listing.waiting),
        odd_annotations=dict(listing.odd_annotations),
    )


def _spans(listing: Listing, examples: Mapping[str, Sequence[FileRecord]]) -> list[SpanCounts]:
    counts = {split: Counter(record.span for record in records) for split, records in examples.items()}
    return [
        SpanCounts(
            name=span.name,
            number=span.number,
            digest=digest,
            splits={split: of_span[span.name] for split, of_span in counts.items()},
        )
        for span, digest in zip(listing.spans, listing.span_digests, strict=True)
    ]


def _counts(records: list[FileRecord]) -> SplitCounts:
    classes = Counter(printable(label) for record in records for label in record.labels)
    unlabelled = sum(not record.labels for record in records)
    groups = len({_unit(record) for record in records}) if any(record.group is not None for record in records) else None
    counted = dict(sorted(classes.items()))
    return SplitCounts(examples=len(records), classes=counted, unlabelled=unlabelled, groups=groups)


def _too_rare(listing: Listing, report: IngestReport) -> list[str]:
    """Returns which classes cannot be tuned or tested, because they are too rare for every split to have one."""
    found = []
    for name in sorted(report.splits["train"].classes):
        counts = {split: content.classes.get(name, 0) for split, content in report.splits.items()}
        missing = [split for split, count in counts.items() if not count]
        if missing:
            total = sum(counts.values())
            how_many = f"{total} {listing.unit[:-1] if total == 1 else listing.unit}"
            untested = ", and a gate of this class refuses unless on_missing is `tell`" if "test" in missing else ""
            found.append(
                f"data.splits: class {name!r} has {how_many}, none of them in "
                f"{' and '.join(missing)}, where nothing can be said about it{untested}. Add {listing.unit} of it, or "
                f"give {' and '.join(missing)} a larger share."
            )
    if len(found) > SHOWN_PROBLEMS:
        found = [*found[:SHOWN_PROBLEMS], f"... and {len(found) - SHOWN_PROBLEMS} more classes that are as rare"]
    return found


def _bad_fraction_problems(listing: Listing, report: IngestReport, max_bad_fraction: float) -> list[str]:
    if report.files == 0 and listing.layout == "table":
        return ["data.root: got no rows; expected at least one text of each class."]
    if report.files == 0:
        ignored = ", ".join(report.ignored[:SHOWN_FILES]) or "(nothing)"
        return [
            "data.root: got no files in class folders; expected one subfolder of files per class. Found at the side "
            f"of them: {ignored}."
        ]
    if report.bad_fraction <= max_bad_fraction:
        return []
    bad = round(report.bad_fraction * report.files)
    return [
        f"data.max_bad_fraction: got {bad} unusable of {report.files} {listing.unit} "
        f"({report.bad_fraction:.1%}); "
        f"expected at most {max_bad_fraction:.1%}. Mend or remove the {listing.unit}, or raise data.max_bad_fraction."
    ]


def _split_problems(listing: Listing, report: IngestReport, left_behind: Collection[str]) -> list[str]:
    """Returns what makes usable files unusable as a data set; classes that are left behind are only tested on."""
    classes = {split: set(content.classes).difference(left_behind) for split, content in report.splits.items()}
    used = set().union(*classes.values())
    names = [name for name in map(printable, listing.classes) if name not in left_behind]
    problems = [
        f"data.root: class {name!r} has no usable {listing.unit[:-1]}. Add {listing.unit}, or remove the class."
        for name in names
        if name not in used
    ]
    if len(names) < 2:
        where = "a label in the table" if listing.layout == "table" else "a subfolder (or a label in the manifest)"
        problems.append(f"data.root: got {len(names)} class ({', '.join(names)}); expected at least 2, each {where}.")
    for name in sorted(used - classes["train"]):
        where = " and ".join(split for split in SPLITS if name in classes[split])
        problems.append(
            f"data.splits: class {name!r} has {listing.unit} in {where} and none in train, so it cannot be learned. "
            f"Add {listing.unit} to train, or remove the class.{did_you_mean(name, classes['train'])}"
        )
    for split in SPLITS:
        if not report.splits[split].classes:
            problems.append(
                f"data.splits: {split} has no example. Add {listing.unit}, give {split} a larger fraction, or name a "
                "folder for it in data.splits."
            )
    return problems

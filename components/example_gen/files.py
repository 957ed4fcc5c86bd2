"""One file: what it is, and its bytes. One folder: the files in it, whatever its links do. Also those in buckets."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from finetune import buckets

# A tf.Example must stay far below protobuf's 2 GiB, and readers hold many of them at a time.
MAX_FILE_BYTES = 512 * 2**20

PICTURE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
SOUND_EXTENSIONS = (".wav", ".flac", ".ogg")
# What operating systems and tools leave in folders of data, besides names with a leading dot.
LITTER = {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "lost+found"}


class FileProblem(Exception):
    """Why one file cannot be used.

    Attributes:
        reason: A few words to count by, such as `truncated`.
        detail: One sentence for the person who mends the file.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class FileRecord:
    """What is known about one file; the ingest fills it in pass by pass.

    Attributes:
        path: Path relative to the data root, with `/`. Bytes that are not UTF-8 appear as surrogate escapes.
        labels: Names of classes, sorted; empty where there is none, or none that could be read.
        folder: Split folder, or the value in the manifest's split column; None when the layout has none.
        size: Bytes.
        mtime_ns: Time of the last change, in nanoseconds since 1970.
        readable: Whether this process may read the file.
        slices: Value of each slice column.
        span: Name of the span that it came with; None where the root has no place for one.
        text: The words that come with a picture; empty where there are none, None where the data have none.
        has_file: Whether there is a file at the path; False of words without a picture.
        objects: What is where in a picture, as `transforms.objects` writes it; None where the data do not say it.
        mask: Path of the picture's mask, relative to the data root; None where the data have none.
        mask_classes: Names by the mask's values, empty of values that are no class.
        mask_sha256: Hex digest of the mask as it is kept; empty until it is read.
        group: Value of the group column, empty where it is not known; None when there is no such column.
        sha256: Hex digest of the bytes; empty until they are read.
        reason, detail: Why the file cannot be used (see FileProblem); None while nothing speaks against it.
    """

    path: str
    labels: tuple[str, ...]
    folder: str | None = None
    size: int = 0
    mtime_ns: int = 0
    readable: bool = True
    slices: dict[str, str] = field(default_factory=dict)
    group: str | None = None
    text: str | None = None
    has_file: bool = True
    objects: str | None = None
    mask: str | None = None
    mask_classes: tuple[str, ...] = ()
    mask_sha256: str = ""
    span: str | None = None
    sha256: str = ""
    reason: str | None = None
    detail: str | None = None

    def without(self, problem: FileProblem) -> FileRecord:
        """Returns this record, marked as unusable because of `problem`."""
        return dataclasses.replace(self, reason=problem.reason, detail=problem.detail)

    def to_json(self) -> str:
        """Returns one line of ASCII, also for names that are not UTF-8."""
        return json.dumps(vars(self))

    @property
    def row(self) -> tuple[str, tuple[str, ...], str, str]:
        """Returns what is unique: a manifest may list a path under several labels, splits or texts."""
        return self.path, self.labels, self.folder or "", self.text or ""

    @classmethod
    def from_json(cls, line: str) -> FileRecord:
        """Reads what `to_json` wrote."""
        values = json.loads(line)
        return cls(**{**values, **{name: tuple(values[name]) for name in ("labels", "mask_classes")}})


def printable(path: str) -> str:
    """Returns `path` on one line of valid Unicode: line breaks, control characters and stray bytes escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in path)


def is_hidden(name: str) -> bool:
    """Tells whether a file or folder of this name is litter that nobody meant as data."""
    return name.startswith(".") or name.lower() in LITTER


def list_folder(path: str) -> list[tuple[str, bool]]:
    """Returns the names in a folder, sorted and without litter, each with whether it is (a link to) a folder.

    Raises:
        OSError: The folder cannot be read.
    """

    if buckets.is_bucket(path):
        names = buckets.names(path)
        return [(name, is_folder) for name, is_folder in names if not is_hidden(name)]

    def is_folder(entry: os.DirEntry) -> bool:
        try:
            return entry.is_dir()
        except OSError:  # Such as a link to itself.
            return False

    with os.scandir(path) as entries:
        return sorted((entry.name, is_folder(entry)) for entry in entries if not is_hidden(entry.name))


def first_named(folder: Path, extensions: tuple[str, ...]) -> str:
    """Returns the name, in lower case, of the first file in a folder or below that ends so; empty where there is none.

    Links to folders are not followed.
    """
    for _, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        found = sorted(name.lower() for name in names if not is_hidden(name) and name.lower().endswith(extensions))
        if found:
            return found[0]
    return ""


def check_label(label: str) -> None:
    """Vocabulary files hold one UTF-8 label a line.

    Raises:
        FileProblem: `label` cannot name a class.
    """
    if not label:
        raise FileProblem("empty label", "expected the name of a class")
    if "\n" in label or "\r" in label:
        raise FileProblem("bad label", f"class '{printable(label)}' has a line break in its name; rename it")
    if any("\ud800" <= c <= "\udfff" for c in label):
        raise FileProblem("bad label", f"class '{printable(label)}' has a name that is not UTF-8; rename it")


def describe_file(root: str, record: FileRecord) -> FileRecord:
    """Fills in size, time and readability, and what can be said against a file without opening it."""
    full = os.path.join(root, record.path)
    try:
        info = os.stat(full)
    except OSError as error:
        if error.errno == errno.ENOENT and os.path.islink(full):
            return record.without(FileProblem("broken symlink", "it points to a file that does not exist"))
        return record.without(_os_problem(error))
    record = dataclasses.replace(
        record, size=info.st_size, mtime_ns=info.st_mtime_ns, readable=os.access(full, os.R_OK, effective_ids=True)
    )
    try:
        _check_kind(info)
    except FileProblem as problem:
        return record.without(problem)
    return record


def describer(root: str) -> Callable[[FileRecord], FileRecord]:
    """Returns `describe_file` for records below a root; a bucket is listed once, and not asked for each of them."""
    if not buckets.is_bucket(root):
        return lambda record: describe_file(root, record)
    there = {entry.name: entry for entry in buckets.entries(root)}

    def describe(record: FileRecord) -> FileRecord:
        entry = there.get(record.path)
        return _checked(record, entry) if entry else record.without(_missing())

    return describe


def read_file(path: str) -> bytes:
    """Returns the bytes of a regular file. Never blocks, also when a pipe has taken the file's place.

    Raises:
        FileProblem: It is missing, unreadable, not a regular file, or larger than MAX_FILE_BYTES.
        RunError: It is in a bucket, to which the connection was lost.
    """
    try:
        if buckets.is_bucket(path):
            return buckets.read(path)
        # Without O_NONBLOCK, opening a named pipe waits for a writer that may never come.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            _check_kind(os.fstat(file.fileno()))
            return file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise _os_problem(error) from None


def walk_folder(root: str, folder: str, labels: tuple[str, ...], split_folder: str | None) -> Iterator[FileRecord]:
    """Yields a record for each file in root/folder and the folders in it, and for what cannot be entered.

    Links to folders are followed; a folder that is reached twice is read once, and a link back to a folder that it
    lies in is yielded as a `symlink loop`.

    Args:
        root: Data root.
        folder: Folder relative to root.
        labels: Of all files in it.
        split_folder: Recorded as the files' split folder.
    """
    if buckets.is_bucket(root):
        yield from _walk_bucket(root, folder, labels, split_folder)
        return
    seen: set[str] = set()
    # Each entry: a folder relative to root, and the real paths of the folders on the way to it.
    above = os.path.realpath(root), os.path.realpath(os.path.dirname(os.path.join(root, folder)))
    pending: list[tuple[str, tuple[str, ...]]] = [(folder, above)]
    while pending:
        here, parents = pending.pop()
        real = os.path.realpath(os.path.join(root, here))
        here_record = FileRecord(here, labels, split_folder)
        if any(parent == real or parent.startswith(os.path.join(real, "")) for parent in parents):
            yield here_record.without(FileProblem("symlink loop", "it links back to a folder that it lies in"))
            continue
        if real in seen:
            continue
        seen.add(real)
        try:
            names = list_folder(os.path.join(root, here))
        except OSError as error:
            yield here_record.without(
                FileProblem("unreadable folder", f"{error.strerror}; make the folder readable, or remove it")
            )
            continue
        for name, is_folder in names:
            record = FileRecord(f"{here}/{name}", labels, split_folder)
            if not is_folder:
                yield describe_file(root, record)
            elif name.lower().endswith((*PICTURE_EXTENSIONS, *SOUND_EXTENSIONS)):
                yield record.without(_folder_problem())
            else:
                pending.append((record.path, (*parents, real)))


def _walk_bucket(root: str, folder: str, labels: tuple[str, ...], split_folder: str | None) -> Iterator[FileRecord]:
    for entry in buckets.entries(os.path.join(root, folder)):
        if not any(map(is_hidden, entry.name.split("/"))):
            yield _checked(FileRecord(f"{folder}/{entry.name}", labels, split_folder), entry)


def _checked(record: FileRecord, entry: buckets.Entry) -> FileRecord:
    record = dataclasses.replace(record, size=entry.size, mtime_ns=entry.mtime_ns)
    try:
        _check_size(entry.size)
    except FileProblem as problem:
        return record.without(problem)
    return record


def _check_kind(info: os.stat_result) -> None:
    if stat.S_ISDIR(info.st_mode):
        raise _folder_problem()
    if not stat.S_ISREG(info.st_mode):
        kinds = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket"}
        kind = kinds.get(stat.S_IFMT(info.st_mode), "device")
        raise FileProblem("not a regular file", f"it is a {kind}")
    _check_size(info.st_size)


def _check_size(size: int) -> None:
    if size == 0:
        raise FileProblem("empty file", "it has no bytes; copy it again from its source")
    if size >= MAX_FILE_BYTES:
        raise FileProblem("too large", f"it has {size:,} bytes; expected less than {MAX_FILE_BYTES:,}")


def _folder_problem() -> FileProblem:
    return FileProblem("is a folder", "it is named like a file; rename the folder if its files are meant")


def _missing() -> FileProblem:
    return FileProblem("missing file", "it is not there, or went away while the data was read")


def _os_problem(error: OSError) -> FileProblem:
    if error.errno == errno.ENOENT or isinstance(error, FileNotFoundError):
        return _missing()
    if error.errno == errno.ELOOP:
        return FileProblem("symlink loop", "it links to itself in the end")
    if error.errno == errno.EISDIR:
        return _folder_problem()
    if isinstance(error, PermissionError):
        return FileProblem("unreadable", f"{error.strerror or error}; give the user who runs this read permission")
    return FileProblem("unreadable", f"{error.strerror or error}")

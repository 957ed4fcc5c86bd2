"""Which runs stay, and so what of an output folder goes. Plain Python; nothing is looked up or removed here.

A run stays with everything that it made or read, so what the execution cache finds is found whole. What belongs to no
run, such as features that are kept from run to run, goes when it was used last before the oldest run that stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from finetune.config import KeepConfig

NEWEST, YOUNG, FOREIGN = "among the newest", "young enough", "of another pipeline"


@dataclass(frozen=True)
class Run:
    """A run is what the metadata store and its folder say of it.

    Attributes:
        id: TFX's pipeline run id.
        start: When it began, in UTC.
        pipeline: Its name; empty where neither store nor folder says.
        status: Of its summary; empty where there is none, as it was killed.
        judged: Whether it came so far that its model was judged.
        version: Folder of the version that it pushed, or of the model that waits; empty for another.
        executions: Ids in the store, of those that its nodes ran or took from the cache.
        made: Ids of artifacts that came out of them.
        read: Ids of artifacts that went in.
        folder_bytes: Size of its folder; None where there is none.
        went: Whether its folder went earlier, and the rest of it may go too.
    """

    id: str
    start: datetime
    pipeline: str = ""
    status: str = ""
    judged: bool = False
    version: str = ""
    executions: frozenset[int] = frozenset()
    made: frozenset[int] = frozenset()
    read: frozenset[int] = frozenset()
    folder_bytes: int | None = None
    went: bool = False


@dataclass(frozen=True)
class StoredArtifact:
    """An artifact is what the metadata store says of it.

    Attributes:
        uri: Where it was written.
        live: Whether the store says that it is there.
        is_look: Whether it counts a look at a test split, which later verdicts reckon with.
    """

    id: int
    uri: str
    live: bool = True
    is_look: bool = False

    @property
    def place(self) -> str:
        """Its folder below that of all artifacts: `<node>/<output>/<execution>`."""
        return "/".join(self.uri.rstrip("/").split("/")[-3:])


@dataclass(frozen=True)
class Version:
    """A version is a model that is served, may be served again, or waits: its folder, and the artifact it is of."""

    folder: str
    model_uri: str


@dataclass(frozen=True)
class Used:
    """Something on the disk that belongs to no run, and when it was used last."""

    path: str
    kind: str
    bytes: int
    at: datetime


@dataclass(frozen=True)
class Facts:
    """All that a plan rests on.

    Attributes:
        pipeline: Name of the pipeline whose runs may go.
        runs: All, those of other pipelines too.
        artifacts: Those in the folder of artifacts, by id.
        versions: All in the folder of pushed versions, and the models that wait there.
        folders: Size of each folder of an artifact, by its place.
        used: What belongs to no run.
    """

    pipeline: str
    runs: Sequence[Run] = ()
    artifacts: Mapping[int, StoredArtifact] = field(default_factory=dict)
    versions: Sequence[Version] = ()
    folders: Mapping[str, int] = field(default_factory=dict)
    used: Sequence[Used] = ()


@dataclass(frozen=True)
class Removal:
    """Something that goes: its path below the output folder, what it is, its size in bytes, and why."""

    path: str
    kind: str
    bytes: int
    why: str


@dataclass(frozen=True)
class Plan:
    """What stays and what goes.

    Attributes:
        stays: Why each run stays, by its id, the newest first.
        runs: Ids of the runs that go; one that has nothing left is not named again.
        artifacts: Ids of the artifacts that the store is to call deleted, before anything is removed.
        removals: What goes from the disk.
    """

    stays: Mapping[str, str]
    runs: Sequence[str]
    artifacts: Sequence[int]
    removals: Sequence[Removal]

    @property
    def bytes(self) -> int:
        """What is freed."""
        return sum(removal.bytes for removal in self.removals)


def plan(facts: Facts, keep: KeepConfig, now: datetime) -> Plan:
    """Returns what goes by a config's section `keep`, at a time in UTC."""
    left = [
        run for run in facts.runs if run.folder_bytes is not None or not facts.artifacts.keys().isdisjoint(_ids([run]))
    ]
    newest_first = sorted(left, key=lambda run: (run.start, run.id), reverse=True)
    recent = _recent([run for run in newest_first if run.pipeline in ("", facts.pipeline) and not run.went], keep, now)
    reasons = {
        **{run.id: FOREIGN for run in newest_first if run.pipeline not in ("", facts.pipeline)},
        **_of_versions(newest_first, facts),
        **recent,
    }
    stays = {run.id: reasons[run.id] for run in newest_first if run.id in reasons}
    going = [run for run in newest_first if run.id not in reasons]
    staying = [run for run in newest_first if run.id in reasons]
    kept = _ids(staying) | {one.id for one in facts.artifacts.values() if one.is_look}
    gone = {number: facts.artifacts[number] for number in sorted(_ids(going) - kept) if number in facts.artifacts}
    deleted = [number for number, artifact in gone.items() if artifact.live]
    removals = [*_artifact_folders(facts, going, staying, kept, gone), *_run_folders(going), *_unused(facts, recent)]
    return Plan(
        stays=stays,
        runs=[run.id for run in going if run.folder_bytes is not None or not run.made.isdisjoint(deleted)],
        artifacts=deleted,
        removals=removals,
    )


def _recent(runs: Sequence[Run], keep: KeepConfig, now: datetime) -> dict[str, str]:
    """Why runs stay by their age and number, by id; runs are the newest first."""
    judged = [run for run in runs if run.judged]
    others = [run for run in runs if not run.judged]
    number = keep.runs or 1
    newest = dict.fromkeys((run.id for run in (*judged[:number], *others[:number])), NEWEST)
    young = {run.id: YOUNG for run in runs if keep.days is not None and run.start >= now - timedelta(days=keep.days)}
    return {**young, **newest}


def _of_versions(runs: Sequence[Run], facts: Facts) -> dict[str, str]:
    """Why runs stay for the sake of versions: that which trained the model of one, and that which pushed it, by id."""
    found: dict[str, str] = {}
    uris = {number: artifact.uri for number, artifact in facts.artifacts.items()}
    for version in facts.versions:
        trained = [run for run in runs if any(uris.get(number) == version.model_uri for number in run.made)]
        pushed = [run for run in runs if run.version == version.folder]
        # The first of each: those after it found the model in the cache.
        found.update({run.id: f"version {version.folder}" for of in (trained, pushed) for run in of[-1:]})
    return found


def _ids(runs: Iterable[Run]) -> set[int]:
    return {number for run in runs for number in run.made | run.read}


def _artifact_folders(
    facts: Facts,
    going: Sequence[Run],
    staying: Sequence[Run],
    kept: set[int],
    gone: Mapping[int, StoredArtifact],
) -> list[Removal]:
    """Folders of artifacts that go, and what failed or killed executions of runs that go have left of theirs."""
    protected = {facts.artifacts[number].place for number in kept if number in facts.artifacts}
    executions = {one for run in going for one in run.executions} - {one for run in staying for one in run.executions}
    places = {artifact.place for artifact in gone.values()}
    return [
        Removal(f"artifacts/{place}", "artifacts", size, "of runs that go")
        for place, size in sorted(facts.folders.items())
        if place not in protected and (place in places or _execution(place) in executions)
    ]


def _execution(place: str) -> int | None:
    name = place.rsplit("/", 1)[-1]
    return int(name) if name.isdecimal() else None


def _run_folders(going: Sequence[Run]) -> list[Removal]:
    return [
        Removal(f"runs/{run.id}", "reports and logs", run.folder_bytes, run.status or "killed")
        for run in going
        if run.folder_bytes is not None
    ]


def _unused(facts: Facts, recent: Mapping[str, str]) -> list[Removal]:
    """What was used last before the oldest of the recent runs, of those that were judged where there are any."""
    stay = [run for run in facts.runs if run.id in recent]
    judged = [run for run in stay if run.judged] or stay
    if not judged:
        return []
    oldest = min(run.start for run in judged)
    return [
        Removal(one.path, one.kind, one.bytes, f"used last on {one.at:%Y-%m-%d}")
        for one in sorted(facts.used, key=lambda one: one.path)
        if one.at < oldest
    ]

"""A year of retraining, week by week, with planted faults: what is decided, beside what should be.

    make simulate-year           (python -m benchmarks.simulate_year [--part digits|flowers|recorded] ...)

Each week's pictures come as a span of their own, none used twice, and `finetune watch --once` decides on it, as a cron
job would. Weeks are quiet but for those with a fault: pictures that are dark or blurred, a class that is new, labels
that are wrong, a week without a picture, one of copies, one whose files are cut short, a process killed in mid-run, a
champion rolled back, which was pushed past the gates where they have let no second one out. A week with wrong labels
or broken files is put right the day after. Pictures of a fixed set that no span has tell after each push whether the
new model is worse than the champion was. Then, on frozen features that are recorded, 200 quiet weeks say how often a
training is needless.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

import finetune  # noqa: F401  (chooses Keras 2)
from benchmarks.flowers import ROOT, pictures, weights_file
from benchmarks.planted import blurred, dark
from benchmarks.recorded_year import quiet_weeks, recorded, section, years
from benchmarks.tables import earlier, machine, save, table
from finetune.artifacts.example_list import ExampleList
from finetune.artifacts.retrain_decision import TRAINS, RetrainDecision

PARTS = ("digits", "flowers", "recorded")
FOLDER = Path("runs/benchmarks/simulate-year")
WEEK, FIXED = 30, 200
# Pictures of the first span: the flowers have to last as long as the digits.
FIRST = {"digits": 150, "flowers": 90}
SEED = 1
# Of what a champion was made with, this much is enough to train by itself: five quiet weeks at first.
MIN_NEW = 1.0
# The others are the default of later models where data come in spans.
PROVEN = {"metric": "accuracy", "relative_to": "champion", "confidence": 0.9, "refuse_when": "unproven"}
GATES = [
    {"metric": "accuracy", "min": 0.6},
    {"min": -0.01, **PROVEN},
    {"min": -0.04, "slice": {"span": "ordinary"}, "on_missing": "tell", **PROVEN},
]
# Of a run that is killed: it is somewhere between ingest and Evaluator then.
SECONDS_BEFORE_KILL = 5.0

Change = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class Kind:
    """A kind of week: what is done to its pictures, and what should follow.

    Attributes:
        expected: In words, for the table.
        names: Reasons of which one has to be among the decisive ones; empty if there should be none to train.
        action: That should follow; empty for one that trains, or where nothing is expected.
    """

    expected: str
    names: frozenset[str] = frozenset()
    action: str = ""
    change: Change | None = None


QUIET = Kind("nothing to do, or enough examples are new", action="nothing to do")
KINDS = {
    "start": Kind("trains", frozenset({"champion"})),
    "quiet": QUIET,
    "empty": Kind("nothing to do", action="nothing to do"),
    "copies": Kind("nothing to do", action="nothing to do"),
    "dark": Kind("trains: features", frozenset({"frozen features"}), change=dark),
    "blurred": Kind("trains: features", frozenset({"frozen features"}), change=blurred),
    "cut short": Kind("stops: data", frozenset({"data"}), action="stop: data"),
    "put right": QUIET,
    "new class": Kind("trains: new class", frozenset({"new classes"})),
    "wrong labels": Kind("names the champion's drop", frozenset({"champion on new examples"})),
    "killed": Kind("trains, once, after the kill", frozenset({"frozen features", "new examples"}), change=dark),
    "rolled back": QUIET,
    "after the new class": Kind("is decided on"),
}
# The weeks after the first, in their order.
PLAN = (
    *("quiet", "quiet", "empty", "copies", "dark", "quiet", "cut short", "put right", "blurred"),
    *("quiet", "rolled back", "wrong labels", "put right", "killed", "quiet", "new class"),
)
AGAIN = {"put right"}
# To the end of the pictures. The champion may not know the class yet, and it is rarer in what it was made with.
AFTER = "after the new class"


@dataclass
class Pool:
    """Pictures that are left, by class, in an order that is drawn once: PNG or JPEG bytes and the name of each."""

    left: list[tuple[str, str, bytes]]
    held_back: str = ""  # A class that does not come yet.
    drawn: list[tuple[str, str, bytes]] = field(default_factory=list)

    def take(self, count: int) -> list[tuple[str, str, bytes]]:
        """Returns the next pictures, and never again."""
        ready = [one for one in self.left if one[0] != self.held_back]
        taken = ready[:count]
        names = {one[:2] for one in taken}
        self.left = [one for one in self.left if one[:2] not in names]
        self.drawn += taken
        return taken

    def release(self) -> None:
        """Lets the class that was held back come as often as the others do."""
        others = [one for one in self.left if one[0] != self.held_back]
        shares = len({one[0] for one in others})
        released = [one for one in self.left if one[0] == self.held_back][: len(others) // shares]
        mixed = others + released
        self.left = [mixed[place] for place in np.random.default_rng(SEED).permutation(len(mixed))]
        self.held_back = ""


def flowers() -> list[tuple[str, str, bytes]]:
    """All flower photographs: class, name, bytes."""
    return [
        (path.parent.name, f"{path.parent.parent.name}-{path.stem}", path.read_bytes())
        for split in ("train", "val")
        for path in pictures(split)
    ]


def digits() -> list[tuple[str, str, bytes]]:
    """The handwritten digits 5 to 9 of scikit-learn, as the demo draws them."""
    from finetune_cli.demo import handwritten_digits, to_image

    found = []
    for number, (picture, digit) in enumerate(zip(*handwritten_digits(), strict=True)):
        if digit >= 5:
            file = io.BytesIO()
            to_image(picture).save(file, "PNG")
            found.append((str(digit), f"{number:04}", file.getvalue()))
    return found


def backbone_of(name: str, folder: Path) -> dict[str, Any]:
    """Returns the section `backbone` for a set."""
    if name == "flowers":
        size = {"arguments": {"alpha": 0.35}, "image_size": 224}
        return {"name": "MobileNetV2", **size, "weights": str(weights_file())}
    from finetune_cli.demo import prepare

    prepare(folder / "demo")
    return {"name": "SmallCNN", "weights": str(folder / "demo" / "backbone.h5")}


class Year:
    """A year of one set: its store of spans, its config, and what was decided."""

    def __init__(self, name: str, folder: Path):
        self.name, self.folder, self.store, self.output = name, folder, folder / "store", folder / "run"
        shutil.rmtree(self.store, ignore_errors=True)
        shutil.rmtree(self.output, ignore_errors=True)
        self.store.mkdir(parents=True)
        every = {"flowers": flowers, "digits": digits}[name]()
        order = np.random.default_rng(SEED).permutation(len(every))
        every = [every[place] for place in order]
        classes = sorted({label for label, _, _ in every})
        self.fixed = [one for label in classes for one in [each for each in every if each[0] == label][: FIXED // 5]]
        self.pool = Pool([one for one in every if one not in self.fixed], held_back=classes[-1])
        _write(folder / "fixed", self.fixed)
        config = {
            "name": f"year_{name}",
            "output_dir": str(self.output),
            "data": {"root": f"{self.store}/{{SPAN}}", "layout": "classes"},
            "backbone": backbone_of(name, folder),
            # A fitted head alone: what is simulated are the decisions.
            "training": {"head": {"start": "fitted"}, "phases": [], "refit": True},
            "retrain": {"min_new": MIN_NEW},
            "evaluation": {"gates": GATES},
        }
        self.config = folder / "config.yaml"
        self.config.write_text(yaml.safe_dump(config, sort_keys=False))
        self.rows: list[dict[str, Any]] = []
        self.span = 0

    def run(self) -> None:
        """Lets the weeks pass."""
        self._week("start", self.pool.take(FIRST[self.name]))
        for kind in PLAN:
            if kind == "new class":
                self.pool.release()
            self._week(kind, self.pool.take(0 if kind in ("empty", "copies", *AGAIN) else WEEK))
        while len(self.pool.left) >= WEEK:
            self._week(AFTER, self.pool.take(WEEK))

    def _week(self, kind: str, taken: Sequence[tuple[str, str, bytes]]) -> None:
        before = self._versions()
        if kind == "rolled back":
            if len(before) == 1:
                forced = [*_command("run"), str(self.config), "evaluation.mode=report_only"]
                subprocess.run(forced, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            subprocess.run([*_command("rollback"), str(self.output)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            before = self._versions()
        self.span += kind not in AGAIN
        folder = self.store / f"{self.span:02}"
        self._fill(folder, kind, taken)
        start = time.monotonic()
        killed = self._watch(kill=kind == "killed")
        seconds = time.monotonic() - start
        made = [decision for _, decision in self._decisions()[sum(row["decisions"] for row in self.rows) :]]
        # Old versions go as new ones come.
        pushed = [version for version in self._versions() if not before or int(version.name) > int(before[-1].name)]
        row: dict[str, Any] = {
            "span": self.span,
            "kind": kind,
            "pictures": sum(path.is_file() for path in folder.glob("*/*")),
        }
        row |= {"decisions": len(made), "killed": killed, "seconds": round(seconds, 1)}
        row |= {"action": made[-1].action, "decisive": [one.name for one in made[-1].decisive]} if made else {}
        row["pushed"] = bool(pushed)
        if pushed:
            row["accuracy"] = self._accuracy(pushed[-1])
            row["champion"] = self._accuracy(before[-1]) if before else None
        row["as_expected"] = as_expected(row)
        self.rows.append(row)
        print(json.dumps(row), flush=True)

    def _fill(self, folder: Path, kind: str, taken: Sequence[tuple[str, str, bytes]]) -> None:
        """Writes the pictures of a week; of one that is put right, those of the week before as they should be."""
        folder.mkdir(exist_ok=True)
        change = KINDS[kind].change
        if kind in AGAIN:
            taken = self.pool.drawn[-WEEK:]
            shutil.rmtree(folder)
            folder.mkdir()
        if kind == "copies":
            taken = [(label, f"copy-{name}", data) for label, name, data in self.pool.drawn[-WEEK:]]
        if kind == "cut short":
            taken = [(label, name, data[: len(data) // 3]) for label, name, data in taken]
        if kind == "wrong labels":
            labels = [label for label, _, _ in taken]
            moved = labels[WEEK // 2 :] + labels[: WEEK // 2]
            taken = [(other, name, data) for other, (_, name, data) in zip(moved, taken, strict=True)]
        if change:
            taken = [(label, name, _changed(data, change)) for label, name, data in taken]
        _write(folder, taken)

    def _watch(self, kill: bool) -> bool:
        """Decides on what is there; returns whether the process was killed in mid-run, and started again."""
        command = [*_command("watch"), str(self.config), "--once", "--settle=0", "--every=1"]
        with (self.folder / "watch.log").open("a") as log:
            process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
            if not kill:
                if process.wait():
                    sys.exit(f"finetune watch ended with exit code {process.returncode}: see {log.name}")
                return False
            earlier = len(self._decisions())
            while process.poll() is None and not self._is_training(earlier):
                time.sleep(0.2)
            time.sleep(SECONDS_BEFORE_KILL)
            killed = process.poll() is None
            if killed:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._watch(kill=False)
        return killed

    def _is_training(self, earlier: int) -> bool:
        """Whether a decision to train has been made since, and its run has begun."""
        made = self._decisions()[earlier:]
        return bool(made) and made[-1][1].trains and (self.output / "runs" / made[-1][0]).is_dir()

    def _decisions(self) -> list[tuple[str, RetrainDecision]]:
        """Returns the decisions that are recorded, the earliest first, each with its id."""
        folders = sorted((self.output / "decisions").glob("*"))
        return [(path.name, RetrainDecision.read(path)) for path in folders if RetrainDecision.path(path).is_file()]

    def _versions(self) -> list[Path]:
        found = (self.output / "pushed").glob("*")
        return sorted((path for path in found if path.name.isdecimal()), key=lambda path: int(path.name))

    def _accuracy(self, version: Path) -> float:
        """What a version gets right of the fixed pictures."""
        answers = self.folder / "answers.csv"
        command = [*_command("predict"), str(version), str(self.folder / "fixed"), f"--output={answers}"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        with answers.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(self.fixed)
        return sum(Path(row["path"]).parent.name == row["label"] for row in rows) / len(rows)

    def leaked(self) -> list[str]:
        """Returns the digests of examples that were in test in one run and in train or val in another."""
        splits: dict[str, set[str]] = {}
        for path in self.output.glob("artifacts/*/examples/*"):
            listed = ExampleList.find(path)
            for one in listed.examples if listed else []:
                if one.split:
                    splits.setdefault(one.sha256, set()).add(one.split)
        assert splits
        return [digest for digest, found in splits.items() if "test" in found and len(found) > 1]


def as_expected(row: dict[str, Any]) -> bool:
    """Whether what was decided on a week is what should follow from its kind, and was decided on once."""
    kind, decisive = KINDS[row["kind"]], set(row.get("decisive", ()))
    if row["decisions"] != 1 or (row["kind"] == "killed" and not row["killed"]):
        return False
    if kind is QUIET and row["action"] in TRAINS:
        return decisive <= {"new examples"}
    if not kind.names and not kind.action:
        return True
    right_action = row["action"] == kind.action if kind.action else row["action"] in TRAINS
    return right_action and (not kind.names or bool(decisive & kind.names))


def page(figures: dict[str, Any]) -> str:
    """The results as Markdown."""
    parts = [f"# A year of retraining\n\n{figures['machine']}."]
    for name, found in figures["sets"].items():
        rows = found["weeks"]
        told = [
            (
                *(row["span"], row["kind"], row["pictures"], KINDS[row["kind"]].expected, row.get("action", "none")),
                ", ".join(row.get("decisive", ())),
                "yes" if row["as_expected"] else "**no**",
                "" if not row["pushed"] else _accuracies(row),
                row["seconds"],
            )
            for row in rows
        ]
        head = (
            "span",
            "week",
            "pictures",
            "expected",
            "decided",
            "because of",
            "as expected",
            "pushed, accuracy",
            "seconds",
        )
        worse = [row for row in rows if row["pushed"] and row["champion"] and row["accuracy"] < row["champion"] - 0.01]
        parts.append(
            f"## {name}\n\n{sum(row['as_expected'] for row in rows)} of {len(rows)} weeks as expected; "
            f"{len(worse)} pushed models more than a point below their champion on {FIXED} pictures that no span has; "
            f"{len(found['leaked'])} examples in test in one run and in train or val in another."
        )
        parts.append(table(head, told))
    if "recorded" in figures:
        parts.append(section(**figures["recorded"]))
    parts.append("`make simulate-year` makes this page.")
    return "\n\n".join(parts)


def _accuracies(row: dict[str, Any]) -> str:
    champion = f" (champion {row['champion']:.3f})" if row["champion"] is not None else ""
    return f"{row['accuracy']:.3f}{champion}"


def _write(folder: Path, taken: Sequence[tuple[str, str, bytes]]) -> None:
    for label, name, data in taken:
        suffix = ".png" if data.startswith(b"\x89PNG") else ".jpg"
        path = folder / label / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _changed(data: bytes, change: Change) -> bytes:
    file = io.BytesIO()
    change(Image.open(io.BytesIO(data)).convert("RGB")).save(file, "PNG")
    return file.getvalue()


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", "finetune_cli.main", name]


def main() -> None:
    """Lets a year of each set pass, and writes table and raw figures."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--part", choices=PARTS, action="append")
    arguments.add_argument("--folder", type=Path, default=FOLDER)
    given = arguments.parse_args()
    figures: dict[str, Any] = earlier("simulate_year", {"sets": {}})
    figures["machine"] = machine()
    for part in given.part or PARTS:
        if part == "recorded":
            weights = backbone_of("digits", given.folder.absolute() / "digits")["weights"]
            features = recorded(Path(weights))
            figures["recorded"] = {"quiet": quiet_weeks(features), "weeks": years(features)}
        else:
            year = Year(part, given.folder.absolute() / part)
            year.run()
            figures["sets"][part] = {"weeks": year.rows, "leaked": year.leaked()}
        save("simulate_year", page(figures), figures)


if __name__ == "__main__":
    main()

"""The card that lies beside a pushed model, for people: what it is, what it learned from, and why it was let out."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata as packages
from typing import Any

from finetune.artifacts.findings import Interval
from finetune.artifacts.pushed_version import ModelCard
from finetune.artifacts.training_history import BackboneOrigin
from registry.versions import CARD_TEXT_FILE

_PACKAGES = ("tensorflow", "tfx", "tensorflow-transform", "tf-keras", "tensorflow-model-analysis", "numpy")
_PHASE_COLUMNS = ("name", "epochs", "trainable_parameters", "total_parameters", "val_loss", "val_accuracy")


def card_files(card: ModelCard) -> dict[str, str]:
    """Returns the card as text files by name: one for machines, and one for people that is made from it."""
    return {ModelCard.FILE: card.text(), CARD_TEXT_FILE: markdown(card)}


def environment() -> dict[str, str]:
    """Versions of what made the model, as far as they are installed here."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = packages.version(name)
        except packages.PackageNotFoundError:
            continue
    return found


def markdown(card: ModelCard) -> str:
    """Returns the card for people; a part that is missing is left out."""
    data, backbone = card.data, card.backbone
    sections = [f"# {_text(card.name)}", _verdict(card)]
    sections.append(
        _list(
            {
                "made": card.created_at,
                "SHA-256 of the model": f"`{card.model_sha256}`",
                "backbone": _backbone(backbone) if backbone else "",
                "licence of the backbone": backbone.licence if backbone else "",
                "classes": ", ".join(data.classes),
            }
        )
    )
    sections += [
        "## Use",
        "`serving_default` takes `examples`, string [batch]: each a serialised `tf.Example` with the raw features, or "
        "the raw input itself where it is one file or one text. It returns `probabilities` float32 [batch, classes], "
        "`classes` string [batch, classes] and `label` string [batch].",
    ]
    if card.metrics:
        rows = [
            [name, _number(metric.value), _interval(metric.interval), _number(metric.champion)]
            for name, metric in card.metrics.items()
        ]
        sections += ["## Metrics on the test split", _table(["metric", "value", "interval", "champion"], rows)]
    if card.gates:
        rows = [[gate.name, "passed" if gate.passed else "**failed**", gate.reason] for gate in card.gates]
        sections += ["## Gates", _table(["gate", "result", "reason"], rows)]
    if data.splits or data.fingerprint:
        splits = [f"{size} {name}" for name, size in data.splits.items()]
        sections += ["## Data", _list({"examples": ", ".join(splits), "fingerprint": data.fingerprint})]
    if card.phases:
        rows = [[_number(getattr(phase, column)) for column in _PHASE_COLUMNS] for phase in card.phases]
        sections += ["## Training", _table([column.replace("_", " ") for column in _PHASE_COLUMNS], rows)]
    if card.environment:
        sections += ["## Environment", _list(card.environment)]
    return "\n\n".join(section for section in sections if section) + "\n"


def _verdict(card: ModelCard) -> str:
    failed = [gate.name for gate in card.gates if not gate.passed]
    approval = card.approval
    if failed and card.report_only:
        sentence = f"**Pushed although {len(failed)} of its gates failed**: gates only reported."
    else:
        sentence = "Passed every gate."
    return sentence + (f" Approved by {_text(approval.by)} at {approval.at}." if approval else "")


def _backbone(backbone: BackboneOrigin) -> str:
    digest = f", SHA-256 `{backbone.sha256}`" if backbone.sha256 else ""
    return f"{backbone.name}, weights from {backbone.source or 'unknown'}{digest}"


def _interval(interval: Interval | None) -> str:
    return f"{interval.low:.4f} to {interval.high:.4f} ({100 * interval.confidence:g} %)" if interval else ""


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def _list(facts: Mapping[str, Any]) -> str:
    return "\n".join(f"* {name}: {_text(value)}" for name, value in facts.items() if value)


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_text(cell) for cell in line) + " |" for line in lines)


def _text(value: Any) -> str:
    """One line that cannot break out of a table: names of classes and files are input."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")

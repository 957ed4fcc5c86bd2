"""The card that lies beside a pushed model: what it is, what it learned from, and why it was let out. Plain Python.

`model_card.json` is for machines and `model_card.md` for people; the second is made from the first.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata as packages
from typing import Any

from registry.versions import CARD_FILES

SCHEMA_VERSION = 1
_PACKAGES = ("tensorflow", "tfx", "tensorflow-transform", "tf-keras", "tensorflow-model-analysis", "numpy")


def card_files(card: Mapping[str, Any]) -> dict[str, str]:
    """The card as text files by name."""
    as_json, as_markdown = CARD_FILES
    return {
        as_json: json.dumps({"schema_version": SCHEMA_VERSION, **card}, indent=1, ensure_ascii=False) + "\n",
        as_markdown: markdown(card),
    }


def environment() -> dict[str, str]:
    """Versions of what made the model, as far as they are installed here."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = packages.version(name)
        except packages.PackageNotFoundError:
            continue
    return found


def markdown(card: Mapping[str, Any]) -> str:
    """The card for people; a part that is missing is left out.

    Args:
        card: `name`, `created_at` and `model_sha256`; and as far as known `report_only`, `approval` (`by`, `at`),
            `data` (`root`, `fingerprint`, `splits`, `classes`), `backbone` (`name`, `source`, `licence`, `sha256`),
            `phases`, `metrics` (per name `value`, `interval`, `champion`), `gates`, `environment`.
    """
    data, backbone = card.get("data") or {}, card.get("backbone") or {}
    sections = [f"# {_text(card['name'])}", _verdict(card)]
    sections.append(
        _list(
            {
                "made": card["created_at"],
                "SHA-256 of the model": f"`{card['model_sha256']}`",
                "backbone": _backbone(backbone),
                "licence of the backbone": backbone.get("licence"),
                "classes": ", ".join(map(str, data.get("classes") or [])),
            }
        )
    )
    sections += [
        "## Use",
        "`serving_default` takes `examples`, string [batch]: each a serialised `tf.Example` with the raw features, or "
        "the raw input itself where it is one file or one text. It returns `probabilities` float32 [batch, classes], "
        "`classes` string [batch, classes] and `label` string [batch].",
    ]
    if card.get("metrics"):
        rows = [
            [name, _number(metric.get("value")), _interval(metric.get("interval")), _number(metric.get("champion"))]
            for name, metric in card["metrics"].items()
        ]
        sections += ["## Metrics on the test split", _table(["metric", "value", "interval", "champion"], rows)]
    if card.get("gates"):
        rows = [
            [gate["name"], "passed" if gate["passed"] else "**failed**", gate.get("reason", "")]
            for gate in card["gates"]
        ]
        sections += ["## Gates", _table(["gate", "result", "reason"], rows)]
    if data:
        splits = [f"{size} {name}" for name, size in (data.get("splits") or {}).items()]
        facts = {"from": data.get("root"), "examples": ", ".join(splits), "fingerprint": data.get("fingerprint")}
        sections += ["## Data", _list(facts)]
    if card.get("phases"):
        columns = ("name", "epochs", "trainable_parameters", "total_parameters", "val_loss", "val_accuracy")
        rows = [[_number(phase.get(column)) for column in columns] for phase in card["phases"]]
        sections += ["## Training", _table([column.replace("_", " ") for column in columns], rows)]
    if card.get("environment"):
        sections += ["## Environment", _list(card["environment"])]
    return "\n\n".join(section for section in sections if section) + "\n"


def _verdict(card: Mapping[str, Any]) -> str:
    failed = [gate["name"] for gate in card.get("gates") or [] if not gate["passed"]]
    approval = card.get("approval")
    if failed and card.get("report_only"):
        sentence = f"**Pushed although {len(failed)} of its gates failed**: gates only reported."
    else:
        sentence = "Passed every gate."
    return sentence + (f" Approved by {_text(approval['by'])} at {approval['at']}." if approval else "")


def _backbone(backbone: Mapping[str, Any]) -> str:
    digest = f", SHA-256 `{backbone['sha256']}`" if backbone.get("sha256") else ""
    return f"{backbone['name']}, weights from {backbone.get('source', 'unknown')}{digest}" if backbone else ""


def _interval(interval: Mapping[str, Any] | None) -> str:
    if not interval:
        return ""
    return f"{interval['low']:.4f} to {interval['high']:.4f} ({100 * interval['confidence']:g} %)"


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

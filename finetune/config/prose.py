"""A mistake that pydantic found, as a sentence with key, received and expected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from finetune.config import keys
from finetune.config.beam import CREDENTIAL
from finetune.config.whole import Config
from finetune.errors import did_you_mean

# Keys that an earlier version had, and what they are called now; `[]` stands for any entry of a list.
RENAMED = {
    "training.micro_batches": "training.gradient_accumulation_steps",
    "training.cache_trunk": "training.frozen_features.cache",
    "training.trunk_cache": "training.frozen_features",
}

# Keys that an earlier version had and that nothing takes the place of, and why.
REMOVED = {
    "training.similarity": "`training.strategy: auto` measures what it was told by it; leave it out",
}


def describe(detail: Mapping[str, Any]) -> str:
    """Returns one of pydantic's errors as `key: got X; expected Y. Did you mean 'Z'?`."""
    place = [part for part in detail["loc"] if not _names_a_union_branch(part)]
    key = keys.join(place) or "config"
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        if now := _new_name(key):
            return f"{key}: renamed; write {now}"
        if key in REMOVED:
            return f"{key}: removed; {REMOVED[key]}"
        names = _field_names(place[:-1])
        return f"{key}: unknown key; expected one of {', '.join(names)}.{did_you_mean(str(place[-1]), names)}"
    if kind == "missing":
        return f"{key}: missing; expected {_expectation(place)}"
    received = re.sub(CREDENTIAL, r"\1...", f"got {detail['input']!r}")
    received = re.sub(r"//[^/@\s]+@", "//...@", received)
    if len(received) > 120:
        received = received[:120] + "..."
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        return f"{key}: {received}; expected {context['expected']}.{did_you_mean(str(detail['input']), choices)}"
    if kind == "value_error":
        # Of the whole config, the error names the keys and what was received.
        return f"{key}: {received}; {context['error']}" if place else str(context["error"])
    message = detail["msg"].replace("Input should be ", "").replace("Value should ", "")
    return f"{key}: {received}; expected {message[0].lower() + message[1:]}"


def _new_name(key: str) -> str | None:
    """Returns what a dotted key is called now, with the same places in lists; None if it was never another."""
    places = iter(re.findall(r"\[\d+\]", key))
    now = RENAMED.get(re.sub(r"\[\d+\]", "[]", key))
    return re.sub(r"\[\]", lambda _: next(places), now) if now else None


def _names_a_union_branch(part: keys.Part) -> bool:
    """pydantic puts the branch that it tried into the location, such as `constrained-float` or `literal['all']`."""
    return isinstance(part, str) and (part in ("float", "int", "str") or part.startswith(("constrained", "literal[")))


def _models_at(place: Sequence[keys.Part]) -> Iterator[type[BaseModel]]:
    model: type[BaseModel] = Config
    yield model
    for part in place:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = _model_within(field.annotation) if field else None
        if inner is None:
            return
        model = inner
        yield model


def _model_within(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_within(argument)
        if found:
            return found
    return None


def _field_names(place: Sequence[keys.Part]) -> list[str]:
    *_, model = _models_at(place)
    return list(model.model_fields)


def _expectation(place: Sequence[keys.Part]) -> str:
    *_, model = _models_at(place[:-1])
    field = model.model_fields.get(str(place[-1]))
    section = _model_within(field.annotation) if field else None
    if section:
        needed = [name for name, inner in section.model_fields.items() if inner.is_required()]
        return f"a section with {' and '.join(needed)}"
    return field.description if field and field.description else "a value"

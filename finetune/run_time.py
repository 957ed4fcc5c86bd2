"""Values that are known only where a node runs: folders, a run's own values of config keys, digests of files and code.

The DAG says them with the classes below, in the parameters of its nodes; within JSON each is an object with the key
`run_time`. Whoever launches a node fills them in with `resolve`: on this machine and in a pod of Kubernetes alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from finetune.buckets import is_bucket
from finetune.digests import sha256_of
from finetune.errors import ConfigError

KIND = "run_time"
KINDS = ("config_value", "shared_path", "file_digest", "code_digest")


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConfigValue(_Value):
    """The run's value of a config key, with its type."""

    run_time: Literal["config_value"] = "config_value"
    key: str


class SharedPath(_Value):
    """The absolute path of what lies below the folder that all nodes share; one absolute or in a bucket stays."""

    run_time: Literal["shared_path"] = "shared_path"
    path: str


class FileDigest(_Value):
    """The SHA-256 of a file or folder (see `finetune.digests`); null where there is none."""

    run_time: Literal["file_digest"] = "file_digest"
    path: str | ConfigValue


class CodeDigest(_Value):
    """The digest of the code that modules of ours can run, and of the version of TFX."""

    run_time: Literal["code_digest"] = "code_digest"
    modules: tuple[str, ...]


Value = Annotated[ConfigValue | SharedPath | FileDigest | CodeDigest, Field(discriminator=KIND)]
_VALUE: TypeAdapter[Any] = TypeAdapter(Value)


@dataclass(frozen=True)
class Place:
    """Where a node runs: `root` is the absolute folder that all nodes share, below which relative paths are.

    `code_digest` gives the digest of the code of modules, `values` are those of config keys that are left open.
    """

    root: Path
    code_digest: Callable[[Sequence[str]], str]
    values: Mapping[str, Any]


def as_parameter(value: str | BaseModel) -> str:
    """Returns a parameter of a node that is a text, or a run-time value that becomes one."""
    return value if isinstance(value, str) else value.model_dump_json()


def plain(parameters: Any) -> Any:
    """Returns parameters as plain JSON data, with run-time values as objects."""
    if isinstance(parameters, BaseModel):
        return parameters.model_dump(mode="json")
    if isinstance(parameters, Mapping):
        return {key: plain(item) for key, item in parameters.items()}
    return [plain(item) for item in parameters] if isinstance(parameters, list | tuple) else parameters


def resolve(parameters: Any, place: Place) -> Any:
    """Returns plain JSON data with every run-time value in it filled in.

    Raises:
        ConfigError: The place has no value for a config key.
    """
    if _is_value(parameters):
        return _resolved(_VALUE.validate_python(parameters), place)
    if isinstance(parameters, Mapping):
        return {key: resolve(item, place) for key, item in parameters.items()}
    return [resolve(item, place) for item in parameters] if isinstance(parameters, list) else parameters


def values_in(parameters: Any) -> Iterator[Any]:
    """Yields the run-time values in plain JSON data, those within others too."""
    if _is_value(parameters):
        yield _VALUE.validate_python(parameters)
    if isinstance(parameters, Mapping | list):
        for item in parameters.values() if isinstance(parameters, Mapping) else parameters:
            yield from values_in(item)


def _is_value(data: Any) -> bool:
    return isinstance(data, Mapping) and data.get(KIND) in KINDS


def _resolved(value: Any, place: Place) -> Any:
    match value:
        case ConfigValue():
            if value.key not in place.values:
                raise ConfigError([f"{value.key}: no value for this run; expected one for each key that is left open"])
            return place.values[value.key]
        case SharedPath():
            return value.path if is_bucket(value.path) else str(place.root / value.path)
        case FileDigest():
            path = value.path if isinstance(value.path, str) else _resolved(value.path, place)
            return sha256_of(place.root / path)
        case CodeDigest():
            return place.code_digest(value.modules)
    raise AssertionError(value)

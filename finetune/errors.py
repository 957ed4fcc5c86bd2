"""Every error that the product raises on purpose.

    FinetuneError           exit code 1 unless a subclass says otherwise
    ├── ConfigError         a config, an override or a command that cannot be used (exit code 2)
    ├── DataError           input data that cannot be trained on
    │   └── DataRefused     a check of the data said `stop` (exit code 3)
    ├── BackboneError       a backbone or its weights that cannot be used
    └── RunError            a run that cannot start or go on

Messages say what was received, what was expected, and how to mend it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Exit codes of a run that has an answer, which is no error.
REFUSED = 3
PENDING = 4
NOTHING_TO_DO = 5


class FinetuneError(Exception):
    """Base of all errors that are meant for the user; shown without a traceback."""

    exit_code = 1
    # Whether the same again, later, may succeed.
    worth_retrying = False


class ConfigError(FinetuneError):
    """One or more mistakes in a config, all reported together.

    Attributes:
        problems: One line per mistake, each naming the key, what was received and what was expected.
    """

    exit_code = 2

    def __init__(self, problems: Iterable[str]):
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class DataError(FinetuneError):
    """Input data that cannot be trained on."""


class DataRefused(DataError):
    """Data in which a check found what `data.checks` says to stop at."""

    exit_code = 3


class BackboneError(FinetuneError):
    """A backbone, or weights for it, that cannot be used."""


class RunError(FinetuneError):
    """A run that cannot start or cannot go on."""

    worth_retrying = True


def did_you_mean(received: str, valid: Iterable[str]) -> str:
    """Returns `` Did you mean 'x'?`` for the valid name nearest to `received`, or an empty string."""
    by_folded = {name.casefold(): name for name in valid}
    nearest = difflib.get_close_matches(received.casefold(), by_folded, n=1, cutoff=0.6)
    return f" Did you mean {by_folded[nearest[0]]!r}?" if nearest else ""

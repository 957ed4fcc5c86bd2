"""Which verdicts came before one, as the metadata store knows them: each is a look at the test split. Plain Python."""

from __future__ import annotations

from collections.abc import Container, Iterable

VERDICT_TYPE = "GateVerdict"
# What the GateKeeper leaves on a verdict beside a champion: the URIs of both models, the digest of the candidate, and
# the sketch of the test split as a line of text.
MODEL_URI, CHAMPION_URI, MODEL_SHA256, TEST_SKETCH = "model_uri", "champion_uri", "model_sha256", "test_sketch"


def before(verdicts: Iterable[tuple[int, str, str]], candidates: Container[str], champion: str | None) -> list[int]:
    """Returns the ids of all looks before a candidate was judged beside a champion for the first time, in their order.

    So a candidate that is judged again is judged by what was known then, and is taken from the cache.

    Args:
        verdicts: Id, URI of the model and URI of the champion of each verdict; an URI is empty where there was none.
        candidates: URIs of the model to judge.
        champion: URI of the model it stands beside; None where there is none, which is no look.
    """
    if champion is None:
        return []
    found: list[int] = []
    for number, model, beside in sorted(verdicts):
        if model in candidates and beside == champion:
            break
        if model and beside:
            found.append(number)
    return found

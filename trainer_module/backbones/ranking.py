"""Which of several backbones is best for a data set, once each has been measured. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Sequence

from finetune.artifacts.backbone_ranking import BackboneRanking, RankedBackbone
from finetune.config import BackboneConfig
from finetune.errors import BackboneError


def ranked(measured: Sequence[RankedBackbone], wanted: BackboneConfig) -> BackboneRanking:
    """Orders candidates by the loss of held-out examples, and chooses the best within the bounds of the config.

    Raises:
        BackboneError: None is within the bounds.
    """
    judged = [each.model_copy(update={"problem": _problem(each, wanted)}) for each in measured]
    order = sorted(judged, key=lambda each: (each.loss, each.label))
    allowed = [each for each in order if not each.problem]
    if not allowed:
        problems = "; ".join(f"{each.label}: {each.problem}" for each in order)
        raise BackboneError(f"backbone.name: auto finds no candidate within the bounds. {problems}")
    best, others = allowed[0], allowed[1:]
    reason = f"its features give the lowest loss on held-out examples, {best.loss:.3f}"
    if others:
        reason += f"; next is {others[0].label} with {others[0].loss:.3f}"
    return BackboneRanking(candidates=order, chosen=best.label, reason=reason)


def _problem(each: RankedBackbone, wanted: BackboneConfig) -> str:
    if wanted.max_latency_ms and each.latency_ms > wanted.max_latency_ms:
        return f"{each.latency_ms:.1f} ms an example are above max_latency_ms {wanted.max_latency_ms:g}"
    if wanted.max_size_mb and each.size_mb > wanted.max_size_mb:
        return f"{each.size_mb:.1f} MB are above max_size_mb {wanted.max_size_mb:g}"
    return ""

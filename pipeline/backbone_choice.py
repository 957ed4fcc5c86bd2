"""`backbone.name: auto`: ranks the candidates on the data, and gives the config that names the best one."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from finetune.artifacts.backbone_ranking import BackboneRanking, RankedBackbone
from finetune.config import BackboneConfig, Config
from finetune.errors import ConfigError
from pipeline.local import run_through
from pipeline.modalities import modality_of
from pipeline.unchanged import inputs_of
from trainer_module.backbones.candidates import candidates_of, label_of
from trainer_module.backbones.ranking import ranked
from trainer_module.backbones.sources import source_of

COMPONENT = "BackboneProbe"


def decided(config: Config) -> Config:
    """Returns the config that names the backbone which an earlier ranking chose; one that is named stays as it is.

    Raises:
        ConfigError: `backbone.name` is `auto`, and nothing was ranked yet.
    """
    if not config.backbone.is_open:
        return config
    ranking = BackboneRanking.find(config.output_path)
    if ranking is None:
        raise ConfigError(
            [
                "backbone.name: got 'auto', and no candidate was ranked yet; expected `finetune run` or `finetune "
                "backbones --on` with this config before, or the name of a backbone"
            ]
        )
    return with_backbone(config, ranking)


def choose_backbone(config: Config) -> BackboneRanking:
    """Ranks the candidates of a config whose `backbone.name` is `auto`, and leaves `backbones.json`.

    Where candidates, data and code are those of an earlier ranking, that is returned at once.

    Raises:
        ConfigError: There is no candidate.
        BackboneError: None is within the bounds.
        RunError: The data could not be made ready.
    """
    found = candidates_of(config.backbone, modality_of(config.data))
    basis, settled = _basis(config, found)
    earlier = BackboneRanking.find(config.output_path)
    if earlier and settled and earlier.basis == basis:
        return earlier
    ranking = ranked([_measured(config, each) for each in found], config.backbone)
    ranking = ranking.model_copy(update={"basis": basis})
    ranking.write(config.output_path)
    return ranking


def with_backbone(config: Config, ranking: BackboneRanking) -> Config:
    """Returns the config with the backbone that was chosen, as if it had been named."""
    backbone = BackboneConfig.model_validate(ranking.winner.backbone)
    return config.model_copy(update={"backbone": backbone})


def _basis(config: Config, found: Sequence[BackboneConfig]) -> tuple[str, bool]:
    """Returns a digest of all that a ranking rests on, and whether a change from now on would show in them."""
    inputs = inputs_of(config.model_copy(update={"backbone": found[0]}), with_bytes=False)
    of_data = {name: digest for name, digest in inputs.digests.items() if name not in ("config", "weights")}
    sections = config.model_dump_json(include={"task", "data", "backbone", "training", "distribution"})
    candidates = {each.model_dump_json(): source_of(each).digest(each) or "" for each in found}
    facts = json.dumps([of_data, candidates, sections], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest(), inputs.settled


def _measured(config: Config, backbone: BackboneConfig) -> RankedBackbone:
    """Makes the data ready for a candidate, and measures it on them."""
    start = time.monotonic()
    named = config.model_copy(update={"backbone": backbone})

    def measure(outputs: Mapping[str, Mapping[str, Any]]) -> RankedBackbone:
        from pipeline.training_setup import training_setup
        from trainer_module.backbones.measure import measured

        found = measured(training_setup(named, outputs["Transform"], COMPONENT))
        return RankedBackbone(
            label=label_of(backbone),
            backbone=json.loads(backbone.model_dump_json(exclude_defaults=True)),
            seconds=time.monotonic() - start,
            **found,
        )

    return run_through(named, "Transform", COMPONENT, measure, config.output_path / "backbones")

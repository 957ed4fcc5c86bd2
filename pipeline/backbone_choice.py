"""`backbone.name: auto`: ranks the candidates on the data, and gives the config that names the best one."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.example_gen.modalities import MODALITIES as INGEST_MODALITIES
from finetune.artifacts.backbone_ranking import BackboneRanking, RankedBackbone
from finetune.config import BackboneConfig, Config, DataConfig
from finetune.errors import ConfigError
from pipeline.local import run_through
from trainer_module.backbones.candidates import candidates_of, label_of
from trainer_module.backbones.ranking import ranked

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


def choose_backbone(config: Config, inputs: Mapping[str, str]) -> BackboneRanking:
    """Ranks the candidates of a config, unless what the ranking rests on is as it was; leaves `backbones.json`.

    Args:
        config: Whose `backbone.name` is `auto`.
        inputs: Digests of what the ranking rests on.
    """
    earlier = BackboneRanking.find(config.output_path)
    if earlier and inputs and earlier.inputs == dict(inputs):
        return earlier
    found = candidates_of(config.backbone, modality_of(config.data))
    ranking = ranked([_measured(config, each) for each in found], config.backbone)
    ranking = ranking.model_copy(update={"inputs": dict(inputs)})
    ranking.write(config.output_path)
    return ranking


def with_backbone(config: Config, ranking: BackboneRanking) -> Config:
    """Returns the config with the backbone that was chosen, as if it had been named."""
    backbone = BackboneConfig.model_validate(ranking.winner.backbone)
    return config.model_copy(update={"backbone": backbone})


def modality_of(data: DataConfig) -> str:
    """Tells what the data are, such as `image`, by `data.layout` or by the names of files and folders.

    Raises:
        ConfigError: They look like nothing known.
    """
    named = [name for name, each in INGEST_MODALITIES.items() if data.layout != "auto" and data.layout in each.layouts]
    if data.manifest:
        named = ["image"]
    root = Path(data.root)
    found = named or [name for name, each in INGEST_MODALITIES.items() if root.exists() and each.recognises(root)]
    if not found:
        kinds = "; ".join(
            problem for each in INGEST_MODALITIES.values() if (problem := each.root_problem(root / "")) is not None
        )
        raise ConfigError([f"data.root: got {data.root!r}, which looks like no data set: {kinds or 'it is empty'}"])
    return found[0]


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


def rows(ranking: BackboneRanking) -> list[Sequence[str]]:
    """Returns what is shown of each candidate, from best to worst."""
    return [
        (
            each.label + (" (chosen)" if each.label == ranking.chosen else ""),
            f"{each.loss:.3f} ± {each.standard_error:.3f}",
            f"{each.accuracy:.3f}",
            f"{each.latency_ms:.1f}",
            f"{each.size_mb:.1f}",
            f"{each.seconds:.0f}",
            each.problem,
        )
        for each in ranking.candidates
    ]

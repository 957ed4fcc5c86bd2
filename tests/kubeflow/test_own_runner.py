"""Why TFX's own Kubeflow runner is not used (docs/adr/0010): it still cannot compile this DAG."""

from __future__ import annotations

from pathlib import Path

import pytest
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as own

from evaluation.data_checks import CHECKS
from finetune.config import load_config
from pipeline.dag import build_pipeline

ROOT = Path(__file__).parents[2]


def test_it_knows_no_resolver_strategy_of_ours(tmp_path: Path):
    settings = own.KubeflowV2DagRunnerConfig(default_image="finetune-pipeline:latest")
    runner = own.KubeflowV2DagRunner(settings, output_dir=str(tmp_path), output_filename="package.json")
    # The node before refuses too, as the name of its artifact is not what this runner wants.
    off = [f"data.checks.{name}=off" for name in CHECKS]
    with pytest.raises(TypeError, match="Unexpected resolver policy encountered"):
        runner.run(build_pipeline(load_config(ROOT / "configs" / "digits.yaml", off)), write_out=True)

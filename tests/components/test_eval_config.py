"""Gates as TFMA reads them."""

import numpy as np
import pytest

pytest.importorskip("tensorflow_model_analysis")

from components.evaluator.eval_config import config_pb2, eval_config, tfma_decides
from finetune.config.evaluation import GateConfig


def test_a_gate_over_all_examples_is_not_held_against_each_slice():
    gates = [
        GateConfig(metric="accuracy", min=0.9),
        GateConfig(metric="accuracy", min=0.5, slice={"label": "rose"}),
        GateConfig(metric="accuracy", min=-0.01, relative_to="champion"),
    ]
    config = eval_config("single_label", gates, [["label"]])
    (metrics,) = config.metrics_specs
    assert not any(metric.HasField("threshold") for metric in metrics.metrics)
    (accuracy,) = [metric for metric in metrics.metrics if metric.per_slice_thresholds]
    bounds = {
        str(dict(threshold.slicing_specs[0].feature_values)): threshold.threshold
        for threshold in accuracy.per_slice_thresholds
    }
    assert set(bounds) == {"{}", "{'label': 'rose'}"}
    assert bounds["{}"].value_threshold.lower_bound.value == pytest.approx(0.9, abs=1e-5)
    assert bounds["{}"].change_threshold.absolute.value == pytest.approx(-0.01, abs=1e-5)


@pytest.mark.parametrize(
    ("keys", "decides"),
    [
        ({}, True),
        # What all of an interval must meet, the value must meet too; what one end may meet, it need not.
        ({"confidence": 0.95, "refuse_when": "unproven"}, True),
        ({"confidence": 0.95, "refuse_when": "disproven"}, False),
        ({"first_only": True}, False),
        ({"slice": {"site": "shop", "span": "2024-03-01"}}, True),
        ({"slice": {"site": "shop", "span": 7}}, False),
        ({"slice": {"label": "0"}}, False),
    ],
)
def test_tfma_decides_what_follows_from_the_value_alone(keys, decides):
    relative = {} if "first_only" in keys else {"relative_to": "champion"}
    assert tfma_decides(GateConfig(metric="accuracy", min=-0.01, **relative, **keys)) == decides


@pytest.mark.parametrize(("value", "found"), [("2024-03-01", True), ("shop", True), ("7", False), ("0.5", False)])
def test_tfma_finds_no_examples_by_what_reads_as_a_number(value, found):
    """Why such gates are not given to it; if this fails, it has learned to."""
    from tensorflow_model_analysis.slicer import slice_accessor, slicer_lib

    spec = slicer_lib.SingleSliceSpec(spec=config_pb2.SlicingSpec(feature_values={"span": value}))
    example = slice_accessor.SliceAccessor([{"span": np.array([value.encode()], object)}])
    assert bool(list(spec.generate_slices(example))) == found


def test_tfma_has_what_the_evaluator_asks_of_it_also_after_it_has_run_as_a_whole():
    from tfx.components.evaluator import executor

    assert executor.tfma.default_eval_shared_model
    assert executor.tfma.EvalConfig is config_pb2.EvalConfig

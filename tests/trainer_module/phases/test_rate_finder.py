"""The rate finder: the suggestion on curves whose answer is known, and a test that leaves the network as it was."""

from __future__ import annotations

import math

import numpy as np
import pytest

from finetune.config import PhaseConfig
from finetune.errors import ConfigError, RunError
from finetune_cli.lr_find import phase_index
from trainer_module.phases.rate_finder import has_diverged, rising_rates, smoothed, suggest


def test_rates_rise_by_one_factor():
    rates = np.array(rising_rates(1e-6, 1.0, 100))
    np.testing.assert_allclose(rates[[0, -1]], [1e-6, 1.0])
    np.testing.assert_allclose(rates[1:] / rates[:-1], 10 ** (6 / 99))


def test_smoothing_equals_the_weighted_mean_that_it_is():
    losses = np.random.default_rng(1).normal(size=30)
    for end, value in enumerate(smoothed(losses), start=1):
        weights = 0.9 ** np.arange(end)[::-1]
        assert value == pytest.approx((weights * losses[:end]).sum() / weights.sum())


def curve(rates, falls_at, diverges_at, noise=0.0):
    """Loss that falls from 2 to 1 around one rate and explodes around another, on logarithmic axes."""
    x = np.log10(rates)
    fall = 1 / (1 + np.exp(-4 * (x - np.log10(falls_at))))
    explosion = np.exp(6 * (x - np.log10(diverges_at)))
    return 2 - fall + explosion + noise * np.random.default_rng(0).normal(size=len(rates))


@pytest.mark.parametrize(("falls_at", "diverges_at"), [(1e-4, 1e-2), (1e-3, 1e-1), (1e-2, 1.0)])
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_the_suggestion_lies_where_the_loss_falls_well_below_where_it_explodes(falls_at, diverges_at, noise):
    rates = rising_rates(1e-6, 1.0, 100)
    losses = curve(rates, falls_at, diverges_at, noise)
    found = suggest(rates, losses)
    assert found.rate == pytest.approx(found.lowest_at / 10)
    # Smoothing lags by at most a decade.
    assert falls_at < found.lowest_at < diverges_at
    assert falls_at / 2 < found.steepest_at < 10 * falls_at
    assert found.rate < diverges_at / 10
    assert not found.still_falling or diverges_at == 1.0


def test_a_loss_that_still_falls_at_the_end_is_told():
    rates = rising_rates(1e-6, 1e-3, 50)
    found = suggest(rates, curve(rates, 1e-4, 1e3))
    assert found.still_falling
    assert found.lowest_at == pytest.approx(1e-3)


def test_a_flat_or_rising_loss_suggests_nothing():
    rates = rising_rates(1e-6, 1.0, 50)
    for losses in (np.ones(50), np.linspace(1, 3, 50)):
        with pytest.raises(RunError, match="falls at no rate from 1e-06 to 1"):
            suggest(rates, losses)
    with pytest.raises(RunError, match="the loss left all bounds after 2 steps"):
        suggest(rates, [1.0, 9.0])


def test_it_ends_when_the_smoothed_loss_is_four_times_its_lowest_or_no_number():
    assert not has_diverged([1.0, 2.0])
    assert has_diverged([1.0] * 20 + [50.0])
    assert has_diverged([1.0, math.nan])


def test_a_phase_is_named_or_numbered():
    phases = [PhaseConfig(name=name, epochs=1, learning_rate=1) for name in ("head", "fine_tune")]
    assert [phase_index(phases, wanted) for wanted in ("head", "2", "fine_tune")] == [0, 1, 1]
    with pytest.raises(ConfigError, match=r"got 'fine-tune'; expected 1 to 2, or head, fine_tune. Did you mean"):
        phase_index(phases, "fine-tune")
    with pytest.raises(ConfigError, match="got '0'"):
        phase_index(phases, "0")


def test_the_test_leaves_every_variable_and_stops_where_it_diverges(tmp_path):
    pytest.importorskip("tensorflow")
    from small_training import make_splits, setup_of, training

    from trainer_module.phases.range_test import losses_at, train_phases_before

    setup = setup_of(make_splits(tmp_path), training(batch_norm="train"))
    start = setup.model.get_weights()
    train_phases_before(setup, 1)
    before = setup.model.get_weights()
    assert any(not np.array_equal(one, other) for one, other in zip(start, before, strict=True))
    done: list[int] = []
    losses = losses_at(setup, 1, rising_rates(1e-5, 1e6, 60), done.append)
    assert done[-1] < 60
    assert len(losses) in (len(done), len(done) - 1), "the last is left out if it is no number"
    assert all(math.isfinite(loss) for loss in losses)
    assert len(set(losses)) > 3
    for one, other in zip(before, setup.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_curve_is_a_picture(tmp_path):
    from PIL import Image

    from pipeline.report.figures import rate_curve

    rates = rising_rates(1e-6, 1.0, 30)
    losses = curve(rates, 1e-3, 1e-1).tolist()
    (tmp_path / "curve.png").write_bytes(rate_curve("digits", rates, losses, smoothed(losses), {"suggested": 1e-2}))
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
        assert len(picture.convert("L").getcolors()) > 10, "not an empty page"

"""What the benchmark of means of weights shows, from figures made up."""

from __future__ import annotations

from benchmarks.mean_weights import LAST_FIT, SIDES, page


def test_each_mean_is_held_against_the_last_fit_on_the_pictures_that_judged_both():
    def one(side: str, fold: int, *losses: float) -> dict:
        return {"recipe": "all_layers", "side": side, "fold": fold, "accuracy": 0.5 + fold / 10, "losses": losses}

    runs = [one(LAST_FIT, 0, 0.5, 0.7), one(LAST_FIT, 1, 9.0, 9.0), one(SIDES[-1], 0, 0.4, 0.4)]
    text = page({"machine": "a machine", "runs": runs})
    assert f"| all_layers | {LAST_FIT} | 4 | 4.8000 | 0.5500 |  |" in text
    # By hand: gains 0.1 and 0.3, deviation 0.1414, over the root of two 0.1.
    assert f"| all_layers | {SIDES[-1]} | 2 | 0.4000 | 0.5000 | +0.2000 ± 0.1000 |" in text
    assert "top_blocks" not in text

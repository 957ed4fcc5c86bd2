"""What the benchmark of teachers chooses and shows, from figures made up."""

from __future__ import annotations

from benchmarks.distillation import ALONE, AS_LONG, GRID, TAUGHT, chosen_by, page


def test_each_side_takes_what_had_the_lowest_loss_on_average():
    tried = [
        {"fold": fold, "chosen": list(recipe), "val_loss": 1.0 + number / 10 + fold * 5, "val_accuracy": 0.5}
        for fold in (1, 2)
        for number, recipe in enumerate(GRID)
    ]
    assert chosen_by(tried) == {TAUGHT: GRID[2], ALONE: GRID[0]}
    tried[1]["val_loss"] = tried[-1]["val_loss"] = 0.0
    assert chosen_by(tried) == {TAUGHT: GRID[-1], ALONE: GRID[1]}
    while_others_are_to_be_tried = chosen_by(tried[:3])
    assert while_others_are_to_be_tried == {TAUGHT: GRID[2], ALONE: GRID[1], AS_LONG: GRID[0]}


def test_the_page_compares_medians_over_seeds_and_both_models_as_served():
    tried = [{"fold": 1, "chosen": list(recipe), "val_loss": 1.0, "val_accuracy": 0.5} for recipe in GRID]
    tried[-1]["val_loss"] = 0.5
    runs = [
        {"chosen": list(recipe), "seed": seed, "accuracy": base + seed / 100, "processor_seconds": 10 * seed}
        for recipe, base in ((GRID[-1], 0.8), (GRID[0], 0.77), (GRID[1], 0.79), (GRID[2], 0.9))
        for seed in (1, 2, 3)
    ]
    times = {"latency_p50_ms_batch1": 1.0, "latency_p95_ms_batch1": 2.0, "throughput_per_second_batch32": 300.0}
    serving = {
        "accuracy": {"pupil": 0.82, "teacher": 0.91},
        "pupil": {**times, "size_mb": 1.5},
        "teacher": {**times, "size_mb": 14.5},
    }
    text = page({"machine": "a machine", "choose": tried, "test": runs, "serving": serving})
    assert "0.820 (0.810 - 0.830)" in text
    assert "a teacher is +3.0 points from that of the best training without." in text
    assert "a teacher is +1.0 points from that of a training as long without." in text
    assert "| teacher | 0.910 | 1.0 | 2.0 | 300 | 14.5 |" in text
    assert page({"machine": "a machine"}).startswith("# A small network and its teacher")

"""What the benchmark of candidates trains and shows."""

from __future__ import annotations

from benchmarks.candidates import RECIPES, page, training_of
from finetune.config import TrainingConfig
from trainer_module.search.candidates import PICTURES


def test_each_recipe_is_a_candidate_but_for_what_it_says():
    phases = {each.name: each.phases for each in PICTURES}
    for recipe, (name, of_phase, changes) in RECIPES.items():
        training = TrainingConfig.model_validate(training_of(recipe))
        (phase,), (known,) = training.phases, phases[name]
        assert phase == known.model_copy(update=of_phase)
        assert training.label_smoothing == changes.get("label_smoothing", 0.0)


def test_the_page_has_a_row_for_each_recipe_that_was_run():
    facts = {"backbone": "net", "recipe": "all_layers", "seconds": 9.6}
    runs = [
        {**facts, "part": part, "loss": loss, "accuracy": accuracy, "interpolation": share}
        for part, loss, accuracy, share in ((1, 0.25, 0.9, 0.8), (2, 0.35, 0.8, 0.0))
    ]
    text = page({"machine": "a machine", "runs": runs})
    assert "| all_layers | 0.250 | 0.350 | - | 0.300 | 0.850 | 0.8, 0 | 10 |" in text
    assert "top_blocks" not in text

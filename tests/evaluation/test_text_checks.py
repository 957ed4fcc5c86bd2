"""Scripts, languages and boilerplate: planted once and found, and seldom seen where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from evaluation.data_checks import Examples
from evaluation.data_checks.outliers import LEVEL
from evaluation.data_checks.texts import BOILERPLATE, LANGUAGES, passages, scripts_of, strangeness

# Words of one language, without its sentences.
WORDS = """
the of and to in is you that it he was for on are as with his they at be this have from or one had by word but not
what all were we when your can said there use an each which she do how their if will up other about out many then
them these so some her would make like him into time has look two more write go see number no way could people
"""
GERMAN = (
    "Ich komme heute leider etwas später nach Hause, weil der Zug wieder einmal Verspätung hat, und bringe Brot mit."
)
GREEK = "Θα έρθω αργότερα απόψε, γιατί το τρένο έχει πάλι καθυστέρηση."


def english(seed: int, count: int = 300) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS.split(), random.integers(8, 40))) for _ in range(count)]


def examples(texts: list[str]) -> Examples:
    count = len(texts)
    labels, nothing = np.ones((count, 1), bool), np.zeros((count, 1), np.float32)
    splits = np.array(["train"] * count)
    return Examples(
        [f"t.csv:{row}" for row in range(count)], splits, ["a"], labels, True, nothing, nothing, texts=texts
    )


@pytest.mark.parametrize("planted", [GERMAN, GREEK])
def test_a_text_in_another_language_or_script_is_named_alone(planted: str) -> None:
    found = LANGUAGES.find(examples([*english(0), planted]))
    assert [suspect.rows for suspect in found.suspects] == [(300,)]
    assert found.drop.tolist() == [300]
    assert found.value == pytest.approx(1 / 301)
    assert ("Greek" if planted == GREEK else "another language") in found.suspects[0].reason


def test_a_set_in_two_scripts_is_as_it_is_meant_to_be() -> None:
    assert not LANGUAGES.find(examples([*english(0), *[GREEK] * 60])).suspects


def test_clean_draws_give_no_more_alarms_than_the_level_allows() -> None:
    alarms = sum(bool(LANGUAGES.find(examples(english(seed))).suspects) for seed in range(50))
    assert alarms <= binom.ppf(0.99, 50, LEVEL)
    assert not any(BOILERPLATE.find(examples(english(seed))).suspects for seed in range(50))


def test_a_text_in_another_language_is_named_although_it_is_there_twice() -> None:
    found = LANGUAGES.find(examples([*english(0), GERMAN, GERMAN.upper()]))
    assert sorted(suspect.rows for suspect in found.suspects) == [(300,), (301,)]


def test_a_text_of_few_words_is_of_no_language() -> None:
    assert not LANGUAGES.find(examples([*english(0), "Verspätung bringe Brot mit"])).suspects
    assert np.isnan(strangeness(["a b c d"])).all()


def test_scripts_are_those_that_most_letters_are_in() -> None:
    texts = ["hello, мир и все", "日本語のテキスト", "１２ ＡＢＣ", "12 :-)", "", "été"]
    assert scripts_of(texts) == ["CYRILLIC", "CJK", "LATIN", "", "", "LATIN"]


def test_a_passage_that_many_texts_share_is_found_whatever_its_case() -> None:
    footer = "This message and its attachments are confidential and meant for the addressee alone"
    texts = english(0)
    texts[7:12] = [f"{text} {footer if row % 2 else footer.upper()}" for row, text in enumerate(texts[7:12])]
    found = BOILERPLATE.find(examples(texts))
    assert found.value == pytest.approx(5 / 300)
    assert found.suspects[0].rows == (7, 8, 9, 10)
    assert "5 texts have: " in found.suspects[0].reason
    assert "confidential" in found.suspects[0].reason.lower()
    assert len(found.suspects) == 1, "parts of the same passage are told once"


def test_two_texts_are_not_many_and_a_text_that_repeats_itself_is_one() -> None:
    passage = " ".join(f"w{number}" for number in range(15))
    assert passages([passage, passage]) == []
    assert passages([f"{passage} {passage} {passage}", "x"]) == []
    assert [rows for _, rows in passages([passage] * 3)] == [[0, 1, 2]]


@pytest.mark.parametrize("check", [LANGUAGES, BOILERPLATE], ids=lambda check: check.name)
def test_pictures_and_hardly_any_texts_are_not_judged(check) -> None:
    assert not check.find(examples(["", "\udcff\x00", "a"])).suspects
    pictures = examples(["a"])
    object.__setattr__(pictures, "texts", None)
    assert check.find(pictures).why_not == "the examples are no texts"


def test_the_docs_have_a_section_on_each_check() -> None:
    docs = " ".join((Path(__file__).parents[2] / "docs" / "data-checks.md").read_text(encoding="utf-8").split())
    for check in (LANGUAGES, BOILERPLATE):
        assert f"### `{check.name}`: {check.label} {_value(check)} {check.meaning} {check.advice}" in docs


def _value(check) -> str:
    named = " It names examples that `drop` can leave out." if check.drops else ""
    return f"The value is the {check.measures}; the default bound is {check.bound:.0%}.{named}"

"""Words and their ids, in the graph; tables of word vectors in each published form."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

from finetune.errors import BackboneError
from transforms.word_table import WordTable, read_word_table

VECTORS = {"i": [1.0, 2.0], "n't": [3.0, 4.0], "ok": [5.0, 6.0], ",": [7.0, 8.0]}


def as_text(vectors: dict) -> str:
    return "".join(f"{word} {' '.join(map(str, numbers))}\n" for word, numbers in vectors.items())


@pytest.mark.parametrize(
    "content",
    [json.dumps(VECTORS), as_text(VECTORS), "4 2\n" + as_text(VECTORS), "\ufeff" + as_text(VECTORS) + "ok 0 0\n"],
    ids=["json", "glove", "word2vec", "a word twice"],
)
def test_tables_of_every_form_say_the_same(tmp_path, content):
    path = tmp_path / "table"
    path.write_text(content, encoding="utf-8")
    table = read_word_table(str(path))
    assert table.words == list(VECTORS)
    np.testing.assert_array_equal(table.vectors, np.array(list(VECTORS.values()), np.float32))
    assert table.lowercase


def test_words_with_spaces_and_capitals(tmp_path):
    path = tmp_path / "table.txt"
    path.write_text("The 1 2\n. . . 3 4\n\u2028 5 6\n")
    table = read_word_table(str(path))
    assert table.words == ["The", ". . .", "\u2028"]
    assert not table.lowercase


def test_a_large_table_takes_little_more_memory_than_it_holds(tmp_path):
    path = tmp_path / "table.txt"
    numbers = " ".join(f"0.{digit}" for digit in range(1, 101))
    path.write_text("".join(f"word{number} {numbers}\n" for number in range(5000)))
    tracemalloc.start()
    table = read_word_table(str(path))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert table.vectors.shape == (5000, 100)
    assert most < 2 * table.vectors.nbytes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"the 1 2\nof 1\n", "line 2: got 1 numbers; expected 2"),
        (b"the 1 2\nof 1 nan\n", "line 2: got a number that is not finite"),
        (b"the 1 2\nof 1 x\n", "line 2: a vector with what is no number"),
        (b'{"the": [1, 2], "of": [[1, 2]]}', "word 'of': got"),
        (b'{"the": [1, 2]', "is not valid JSON"),
        (b"{}", "has no vector; expected a table of word vectors"),
        (b"words\n", "line 1: got 'words'; expected a table"),
        (b"caf\xe9 1 2\n", "cannot be read as UTF-8"),
    ],
)
def test_what_is_no_table_stops_with_the_line(tmp_path, content, message):
    path = tmp_path / "table"
    path.write_bytes(content)
    with pytest.raises(BackboneError, match=message.replace("[", r"\[")):
        read_word_table(str(path))


@pytest.fixture(scope="module")
def text():
    pytest.importorskip("tensorflow")
    from transforms import text

    return text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("I don't, OK?", ["i", "do", "n't", ",", "ok", "?"]),
        ("DON'T we’ll it's", ["do", "n't", "we", "'ll", "it", "'s"]),
        ("'quoted' o'clock", ["'", "quoted", "'", "o", "'", "clock"]),
        ("£1,000.50!!", ["£", "1", ",", "000", ".", "50", "!", "!"]),
        ("Straße CAFÉ 東京", ["straße", "café", "東京"]),
        ("🙂🙂 so_what", ["🙂", "🙂", "so", "_", "what"]),
        ("\n\t tabs\u00a0and\u2003spaces\r\n", ["tabs", "and", "spaces"]),
        (b"caf\xe9 \xff\xfe nul\0byte \x01", ["caf", "nul", "byte"]),
        ("", []),
        ("   ", []),
    ],
)
def test_texts_are_cut_into_words(text, given, words):
    import tensorflow as tf

    (found,) = text.split_words(tf.constant([given]), lowercase=True).to_list()
    assert [word.decode() for word in found] == words


def test_unknown_words_are_skipped_averaged_or_shared_out(text):
    import tensorflow as tf

    table = WordTable(["i", "ok"], np.ones((2, 3), np.float32), lowercase=True)
    texts = tf.constant(["i zzz ok qqq i i", "zzz", ""])

    def ids(policy):
        assert text.vector_count(table, policy) > 2
        return text.WordIds(table, policy)(texts, max_words=4).numpy().tolist()

    assert ids("skip") == [[1, 2, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert ids("average") == [[1, 3, 2, 3], [3, 0, 0, 0], [0, 0, 0, 0]]
    shared = ids(50)
    assert shared[0][1] == shared[1][0]
    assert shared[0][1] != shared[0][3]
    assert all(2 < number < text.vector_count(table, 50) for number in (shared[0][1], shared[0][3]))

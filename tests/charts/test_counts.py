"""Texts per class and by length: what is shown of many classes, and the words."""

import pandas as pd

from core.charts.counts import MOST_BARS, balance_table, describe_balance, describe_lengths


def test_the_balance_chart_shows_the_largest_classes_and_says_so():
    counts = {"train": {f"class {i}": i + 1 for i in range(77)}, "test": {"class 76": 5}}
    table = balance_table(counts)
    assert table["label"].nunique() == MOST_BARS
    assert table["label"].iloc[0] == "class 76"
    assert "the largest 30 shown" in describe_balance(counts)


def test_balance_and_lengths_are_said_in_words():
    assert describe_balance({"train": {"a": 2, "b": 2}}).endswith("All have 2.")
    lengths = pd.DataFrame({"words_from": [0, 5], "words_to": [4, 9], "texts": [0, 1]})
    assert describe_lengths(lengths) == "Texts by length: 5 to 9 words; most often 5 to 9 (1 text)."

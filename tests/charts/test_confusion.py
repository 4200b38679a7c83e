"""The confusion matrix: its cells, its mistakes, and how many classes have numbers in them."""

from core.charts.confusion import confusion_heatmap, confusion_table, describe_confusion, mistakes_table


def test_labels_that_look_alike_stay_apart():
    cells = confusion_table(["a b", "a  b", ""], [[1, 0, 0], [0, 2, 0], [0, 0, 3]])
    assert cells["true"].tolist() == ["a b", "a b (2)", "(blank)"]


def test_confusion_counts_shares_and_kinds():
    cells = confusion_table(["a", "b"], [[3, 1], [0, 0]])
    assert cells.to_dict("records") == [
        {"true": "a", "predicted": "a", "texts": 3, "share": 0.75, "kind": "test"},
        {"true": "a", "predicted": "b", "texts": 1, "share": 0.25, "kind": "wrong"},
    ]
    mistakes = mistakes_table(["a", "b"], [[3, 1], [4, 0]])
    assert mistakes[["true", "predicted", "texts"]].to_numpy().tolist() == [["b", "a", 4], ["a", "b", 1]]


def test_77_classes_are_drawn_without_numbers_in_the_cells():
    names = [f"class {i}" for i in range(77)]
    matrix = [[int(i == j) for j in range(77)] for i in range(77)]
    assert len(confusion_heatmap(names, matrix).to_dict()["layer"]) == 1
    assert len(confusion_heatmap(["a", "b"], [[1, 0], [0, 1]]).to_dict()["layer"]) == 2


def test_the_matrix_is_said_in_words():
    assert "3 of 4 texts" in describe_confusion(["a", "b"], [[2, 1], [0, 1]])
    assert "a taken for b (1)" in describe_confusion(["a", "b"], [[2, 1], [0, 1]])
    # A right-to-left label would turn the words and numbers around it.
    assert "\u2068ש\u2069 taken for b (1)" in describe_confusion(["ש", "b"], [[2, 1], [0, 1]])

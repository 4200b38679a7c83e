import pytest

from core.data.quality import find_problems, length_histogram, profile_columns
from core.data.tables import RejectedRow


def many(count=60, labels=("pos", "neg")):
    return [(f"text number {i} of the set", labels[i % len(labels)]) for i in range(count)]


def titles(findings):
    return [finding.title for finding in findings]


def only(findings, title):
    (finding,) = [finding for finding in findings if finding.title == title]
    return finding


def test_good_data_has_no_problems(labeled):
    assert find_problems(labeled(many()), []) == []


def test_every_finding_says_what_was_expected_and_found_and_what_to_do(labeled):
    pairs = [*many(20), ("a " * 500, "Pos"), ("same", "pos"), ("same", "neg"), ("same", "neg"), ("x", "1.5")]
    for finding in find_problems(labeled(pairs), [RejectedRow(3, "the text is empty", "")] * 9):
        assert finding.severity in ("error", "warning")
        assert finding.expected and finding.found and finding.count > 0
        assert finding.remedy.endswith(".")


def test_a_class_with_few_texts_is_a_warning(labeled):
    pairs = [*many(), ("lonely", "one"), *[(f"rare {i}", "four") for i in range(4)]]
    findings = find_problems(labeled(pairs), [])
    assert only(findings, "Classes with few texts").examples == ("four (4)", "one (1)")


def test_labels_that_differ_in_writing_only_are_shown_together(labeled):
    pairs = [*many(), ("a text", "Pos"), ("another", "neg "), ("third", "cafe\u0301"), ("fourth", "café")]
    finding = only(find_problems(labeled(pairs), []), "Labels that differ only in how they are written")
    assert set(finding.examples) == {
        "'Pos' (1), 'pos' (30)",
        "'neg' (30), 'neg ' (1)",
        "'cafe\u0301' (1), 'café' (1)",
    }
    assert finding.count == 6


def test_repeated_texts_are_counted_without_their_first_row(labeled):
    pairs = [*many(), ("Again and again", "pos"), ("again  AND again ", "pos"), ("again and again", "pos")]
    findings = find_problems(labeled(pairs), [])
    assert titles(findings) == ["Repeated texts"]
    assert (findings[0].count, findings[0].examples) == (2, ("again  AND again", "again and again"))


def test_the_same_text_with_two_labels_is_counted_by_rows(labeled):
    pairs = [*many(), ("so so", "pos"), ("So so", "neg"), ("so so", "neg")]
    findings = find_problems(labeled(pairs), [])
    assert titles(findings) == ["The same text with different labels", "Repeated texts"]
    assert (findings[0].count, findings[0].examples) == (3, ("so so (pos, neg)",))
    assert findings[1].count == 1


def test_few_texts_and_uneven_classes_are_warnings(labeled):
    assert titles(find_problems(labeled(many(49)), [])) == ["Few texts"]
    assert find_problems(labeled(many(50)), []) == []
    uneven = [(f"text {i}", "rare" if i < 5 else "usual") for i in range(105)]
    assert titles(find_problems(labeled(uneven), [])) == ["Very uneven classes"]
    assert find_problems(labeled(uneven[:-1]), []) == []


def test_many_rejected_rows_are_a_warning_with_the_reasons(labeled):
    rejected = [RejectedRow(i, "two fields; the table has three", "") for i in range(4)]
    findings = find_problems(labeled(many(60)), rejected)
    assert findings[0].found == "4 rows of 64 (6.2%) without"
    assert findings[0].examples == ("4 × two fields; the table has three",)
    assert find_problems(labeled(many(60)), rejected[:3]) == []
    blank = [RejectedRow(3, "the label is empty (label)", "a,")]
    assert titles(find_problems(labeled(many(60)), blank)) == ["Rows without a text or a label"]


def test_more_than_a_thousand_classes_are_an_error(labeled):
    pairs = [(f"text {i}", f"class {i % 1001}") for i in range(4004)]
    assert titles(find_problems(labeled(pairs), [])) == ["Too many classes"]


def test_columns_are_profiled(table):
    profile = profile_columns(table("text,label,blank\na,x,\n ,x,\nb,y,\nb,,\n"))
    assert profile.to_dict("records") == [
        {"column": "text", "filled": 0.75, "distinct": 2, "example": "a"},
        {"column": "label", "filled": 0.75, "distinct": 2, "example": "x"},
        {"column": "blank", "filled": 0.0, "distinct": 0, "example": ""},
    ]


@pytest.mark.parametrize("longest", [0, 1, 29, 30, 31, 59, 299, 2678])
def test_the_histogram_holds_every_text_once_in_at_most_thirty_equal_ranges(longest):
    lengths = length_histogram(["word " * longest, "", "one", "two words"])
    assert lengths["texts"].sum() == 4
    assert len(lengths) <= 30
    assert lengths["words_from"].tolist()[1:] == (lengths["words_to"] + 1).tolist()[:-1]
    assert lengths["words_from"].iloc[-1] <= max(longest, 2) <= lengths["words_to"].iloc[-1]


def test_the_histogram_of_no_texts_is_empty():
    assert length_histogram([]).columns.tolist() == ["words_from", "words_to", "texts"]
    assert len(length_histogram([])) == 0

import pytest

from core.data.quality import text_checks
from core.data.quality.checks import Tokens, find_problems, length_histogram, profile_columns
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


def test_no_fix_is_offered_that_would_leave_one_class(labeled):
    pairs = [(f"text {i} of a few", "abc"[i % 3]) for i in range(9)]
    assert only(find_problems(labeled(pairs), []), "Classes with few texts").offers == ()
    pairs += [(f"text {i} of many", "d") for i in range(9)]
    (offer,) = only(find_problems(labeled(pairs), []), "Classes with few texts").offers
    assert (offer.fix.kind, offer.rows) == ("join_rare_classes", 9)


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


# Texts


SENTENCES = [
    f"The {word} in the {place} was {mood} this time, we thought"
    for word in ("soup", "bread", "waiter", "music", "table", "garden")
    for place in ("old town", "cellar")
    for mood in ("lovely", "dreadful", "late", "wonderful", "quite cold")
]


def english(*more):
    return [*((text, "ab"[i % 2]) for i, text in enumerate(SENTENCES)), *more]


def test_real_sentences_have_no_problems(labeled):
    assert find_problems(labeled(english()), []) == []


def test_long_texts_are_counted_in_tokens_with_the_share_that_is_lost(labeled):
    pairs = english(("word " * 30, "a"), ("longer " * 20, "b"))

    def count(texts):
        return [len(text.split()) for text in texts]

    finding = only(find_problems(labeled(pairs), [], Tokens(20, count)), "Long texts")
    total = sum(len(text.split()) for text, _ in pairs)
    assert (finding.count, finding.examples) == (1, (("word " * 30).strip(),))
    assert finding.found == f"1 text (1.6%) longer than that, with {10 / total:.1%} of all tokens behind it"
    assert "at most 20 tokens" in finding.expected


def test_without_a_tokenizer_tokens_are_estimated_and_the_finding_says_so(labeled):
    pairs = english(("word " * 98, "a"), ("longer " * 96, "b"))
    finding = only(find_problems(labeled(pairs), []), "Long texts")
    assert finding.count == 1
    assert "by an estimate from the number of words" in finding.found


def test_texts_in_another_language_are_named(labeled):
    foreign = [("Das Essen war leider kalt und die Bedienung sehr unfreundlich zu uns", "a")]
    foreign += [("La comida estaba muy fría y el servicio fue demasiado lento para nosotros", "b")]
    finding = only(find_problems(labeled(english(*foreign)), []), "Texts in another language")
    assert finding.found == "2 texts that seem to be in German (1), Spanish (1)"
    assert finding.offers[0].fix.value == "en"
    mixed = [(text, "ab"[i % 2]) for i, (text, _) in enumerate(foreign * 30)]
    assert "Texts in another language" not in titles(find_problems(labeled(english(*mixed)), []))


def test_personal_data_are_counted_by_kind_and_never_shown_whole(labeled):
    pairs = english(("Write to jane.doe@example.org or joe@example.org", "a"), ("Call +44 20 7946 0958", "b"))
    finding = only(find_problems(labeled(pairs), []), "Possible personal data")
    assert finding.found == "2 e-mail addresses, 1 phone number in 2 texts"
    assert finding.examples == ("Write to ja•••rg or jo•••rg", "Call +4•••58")


def test_an_example_shows_what_it_is_an_example_of(labeled):
    pairs = english(("word " * 60 + "call +44 20 7946 0958", "a"), ("text " * 60 + "x <br> y", "b"))
    findings = find_problems(labeled(pairs), [])
    assert "+4•••58" in only(findings, "Possible personal data").examples[0]
    assert "<br>" in only(findings, "HTML in the texts").examples[0]


def test_where_not_all_texts_are_looked_at_the_finding_and_its_button_say_so(labeled, monkeypatch):
    monkeypatch.setattr(text_checks, "LOOKED_AT", 31)
    pairs = english(*((f"Yes{i}", "ab"[i % 2]) for i in range(2)))
    finding = only(find_problems(labeled(pairs), []), "Texts of one word")
    assert finding.found == "1 text of a single word, among 31 of 62 texts looked at"
    assert finding.offers[0].button == "Leave them out: 1 row or more"


def test_texts_of_one_word_are_no_finding_where_most_are(labeled):
    pairs = [(f"name{i}", "ab"[i % 2]) for i in range(60)]
    assert find_problems(labeled(pairs), []) == []


def test_near_repeats_are_shown_beside_what_they_repeat(labeled):
    pairs = english((SENTENCES[0] + "!!", "a"), (SENTENCES[2].upper() + "?", "a"), (SENTENCES[4] + "!", "b"))
    finding = only(find_problems(labeled(pairs), []), "Nearly repeated texts")
    assert finding.count == 2
    assert finding.examples[0] == f"{SENTENCES[0]}  ↔  {SENTENCES[0]}!!"


def test_many_whole_numbers_with_gaps_are_a_warning_and_numbers_of_classes_are_not(labeled):
    prices = [(f"item {i} of the list is for sale", str((i % 150) ** 2)) for i in range(900)]
    classes = [(f"item {i} of the list is for sale", str(i % 150)) for i in range(900)]
    assert "The labels may be measurements" in titles(find_problems(labeled(prices), []))
    assert "The labels may be measurements" not in titles(find_problems(labeled(classes), []))


def test_labels_of_very_many_digits_are_names_and_shown_cut(labeled):
    pairs = [(f"item {i} of the list is for sale", "7" * (5_000 + i % 150)) for i in range(900)]
    assert "The labels may be measurements" not in titles(find_problems(labeled(pairs), []))
    (finding,) = find_problems(labeled([(f"item {i}", "7" * 5_000) for i in range(60)]), [])
    assert finding.title == "Only one class"
    assert max(map(len, (finding.found, *finding.examples))) < 200


def test_findings_come_in_the_order_of_what_they_cost(labeled):
    pairs = english(("Hm", "a"), ("<b>so</b> so", "A"), (SENTENCES[0], "b"), (SENTENCES[2], "a"))
    assert titles(find_problems(labeled(pairs), []))[:4] == [
        "Labels that differ only in how they are written",
        "The same text with different labels",
        "Classes with few texts",
        "Very uneven classes",
    ]

import random

import pytest

from core.base.errors import UserError
from core.data.labels import (
    ColumnMapping,
    chosen_mapping,
    guess_mapping,
    guess_text,
    label_texts,
    number_labels,
)
from core.data.reading.files import read_table
from core.data.tables import RejectedRow

TEXTS = [
    "The heating in the hall is broken again.",
    "Thank you for the quick answer yesterday!",
    "When does the library open on Sunday?",
    "My parcel never arrived at the office.",
    "What a lovely evening, we will come back.",
    "Could you send me the form by post?",
]
LABELS = ["complaint", "praise", "question"] * 2


def csv_of(columns):
    """A file with these columns; every text is quoted."""
    lines = [",".join(f'"{name}"' for name in columns)]
    lines += [",".join(f'"{value}"' for value in row) for row in zip(*columns.values(), strict=True)]
    return read_table("\n".join(lines).encode())


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("text", "label"),
        ("Review Text", "Sentiment"),
        ("review_text", "rating"),
        ("tweet", "class"),
        ("Kommentar", "Kategorie"),
        ("texte", "étiquette"),
        ("texto", "categoría"),
        ("текст", "метка"),
        ("文本", "标签"),
        ("レビュー", "ラベル"),
        ("c7", "c8"),
        ("remarks", "who"),
        ("TEXT ", " Label"),
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_columns_are_guessed_by_name_and_content_in_any_order(text, label, seed):
    columns = {
        "id": [f"a{i}" for i in range(6)],
        text: TEXTS,
        "date": [f"2024-05-0{i + 1}" for i in range(6)],
        label: LABELS,
        "empty": [""] * 6,
    }
    names = list(columns)
    random.Random(seed).shuffle(names)
    assert guess_mapping(csv_of({name: columns[name] for name in names})) == ColumnMapping(
        (" ".join(text.split()),), " ".join(label.split())
    )


def test_a_name_that_fits_loses_against_a_column_that_looks_right():
    columns = {"email": [f"a{i}@example.org" for i in range(6)], "remarks": TEXTS, "subject": LABELS}
    assert guess_mapping(csv_of(columns)) == ColumnMapping(("remarks",), "subject")


def test_the_plainest_names_win_whatever_the_columns_hold():
    ids = csv_of({"text": TEXTS, "label": [f"id{i}" for i in range(6)], "language": ["en", "de"] * 3})
    assert guess_mapping(ids) == ColumnMapping(("text",), "label")
    blank = csv_of({"text": [""] * 6, "label": LABELS, "notes": TEXTS})
    assert guess_mapping(blank) == ColumnMapping(("text",), "label")


def test_a_split_column_is_guessed_by_its_values():
    columns = {"part": ["Train", "train", "train", "dev", "TEST", "test"], "text": TEXTS, "label": LABELS}
    assert guess_mapping(csv_of(columns)).split == "part"
    for values in (["1", "2", "3", "1", "2", "3"], ["train", "test", "train", "test", "train", "neither"]):
        assert guess_mapping(csv_of(columns | {"part": values})).split is None


def test_columns_without_names_are_guessed_by_content():
    rows = [f'{LABELS[i]},{i},"{TEXTS[i]}"' for i in range(6)]
    table = read_table("\n".join(rows).encode())
    assert guess_mapping(table) == ColumnMapping(("column_3",), "column_1")


@pytest.mark.parametrize("text", ["remark\none thing.\nanother thing.\n", "a,b\n1.5,2.5\n3.5,4.5\n5.5,6.5\n"])
def test_nothing_is_guessed_where_nothing_looks_like_text_and_label(text):
    assert guess_mapping(read_table(text.encode())) is None


@pytest.mark.parametrize(
    ("name", "text", "label"),
    [
        ("data/sst2/train.csv", "text", "label"),
        ("data/trec6/train.csv", "text", "label"),
        ("data/banking77/train.csv", "text", "label"),
        ("data/movie_reviews/train.csv", "text", "label"),
        ("data/rotten_tomatoes/train.csv", "text", "label"),
        ("data/germeval2018/train.csv", "text", "label"),
        ("data/raw/ag_news/test.csv", "column_3", "column_1"),
        ("data/raw/sms_spam/SMSSpamCollection", "column_2", "column_1"),
        ("data/raw/sms_spam/kaggle_spam.csv", "v2", "v1"),
    ],
)
def test_the_columns_of_real_files_are_guessed_with_and_without_their_names(shared, name, text, label):
    table = read_table(shared(name))
    assert guess_mapping(table) == ColumnMapping((text,), label)
    letters = {column: f"q{i}" for i, column in enumerate(table.frame.columns)}
    table.frame.columns = list(letters.values())
    assert guess_mapping(table) == ColumnMapping((letters[text],), letters[label])


YES_NO = ["yes", "no"] * 3
NUMBERS = [str(i * 7) for i in range(6)]


@pytest.mark.parametrize(
    ("columns", "text", "label"),
    [
        # A shop's reviews: other columns have fewer values than the label.
        (
            {
                "market": ["US"] * 6,
                "review_id": [f"R{i}" for i in range(6)],
                "star_rating": list("153515"),
                "vine": YES_NO,
                "review_headline": [text[:22] for text in TEXTS],
                "review_body": TEXTS,
            },
            "review_body",
            "star_rating",
        ),
        # A label of 0 and 1, beside numbers; the text has an odd name.
        (
            {"id": NUMBERS, "likes": ["3", "9", "3", "1", "4", "8"], "q17": TEXTS, "target": list("010011")},
            "q17",
            "target",
        ),
        (
            {"n": NUMBERS, "was_it_good": list("010011"), "what people said": TEXTS},
            "what people said",
            "was_it_good",
        ),
        (
            {"tweetId": NUMBERS, "airlineSentiment": LABELS, "airline": ["A", "B"] * 3, "tweetText": TEXTS},
            "tweetText",
            "airlineSentiment",
        ),
        (
            {"Kundennummer": NUMBERS, "Kundenkommentar": TEXTS, "Kategorie (intern)": LABELS, "neu": YES_NO},
            "Kundenkommentar",
            "Kategorie (intern)",
        ),
    ],
)
def test_columns_are_guessed_in_tables_with_many_others(columns, text, label):
    assert guess_mapping(csv_of(columns)) == ColumnMapping((text,), label)


@pytest.mark.parametrize(
    ("labels", "short"),
    # As Sentiment140 is written, without names: label, id, date, query, user, text.
    [("04", ["anna", "bert", "carl", "dora", "emil", "fred"]), ("12", [text[:9] for text in TEXTS])],
)
def test_columns_without_names_are_guessed_among_many(labels, short):
    rows = [
        f'"{labels[i % 2]}","14678{i}","Mon Apr 06 22:1{i}:45 PDT","NO_QUERY","{short[i]}","{TEXTS[i]}"'
        for i in range(6)
    ]
    assert guess_mapping(read_table("\n".join(rows).encode())) == ColumnMapping(("column_6",), "column_1")


def test_texts_and_labels_are_taken_exactly_as_they_stand():
    table = read_table(b'text,label\n"  two\n lines ", Pos \nNA,pos\n0123,null\n')
    labeled, rejected = label_texts(table, ColumnMapping(("text",), "label"))
    assert labeled.texts == ["  two\n lines ", "NA", "0123"]
    assert [labeled.id2label[number] for number in labeled.labels] == [" Pos ", "pos", "null"]
    assert rejected == []


def test_several_text_columns_are_joined_in_the_order_chosen_without_blank_ones():
    table = read_table(b"title,label,body\nA,x,B\n,y,only\n  ,x,\n")
    labeled, rejected = label_texts(table, ColumnMapping(("body", "title"), "label"))
    assert labeled.texts == ["B A", "only"]
    assert rejected == [RejectedRow(4, "the text is empty (body, title)", "  ,x,")]


def test_rows_without_text_or_label_are_rejected_with_their_line():
    table = read_table(b"id,text,label\n1,good,x\n2, ,x\nbroken\n3,bad,\n4,fine,y\n")
    labeled, rejected = label_texts(table, ColumnMapping(("text",), "label"))
    assert labeled.texts == ["good", "fine"]
    assert rejected == [
        RejectedRow(3, "the text is empty (text)", "2, ,x"),
        RejectedRow(5, "the label is empty (label)", "3,bad,"),
    ]


def test_the_labels_of_a_test_file_are_numbered_as_those_learned_and_others_rejected():
    table = read_table(b"text,label\na,neg\nb,neutral\nc,pos\n")
    label2id = {"pos": 0, "neg": 1}
    labeled, rejected = label_texts(table, ColumnMapping(("text",), "label"), label2id)
    assert (labeled.labels, labeled.label2id) == ([1, 0], label2id)
    assert [(row.line, row.reason) for row in rejected] == [
        (3, "the label 'neutral' is not among the labels to learn")
    ]


def test_labels_are_sorted_as_numbers_if_all_are():
    assert list(number_labels(["10", "9", "-1", "2.5", "9"])) == ["-1", "2.5", "9", "10"]
    assert list(number_labels(["10", "9", "nan"])) == ["10", "9", "nan"]
    assert list(number_labels(["1", "01", "1.0"])) == ["01", "1", "1.0"]


def test_take_and_counts_keep_labels_that_have_no_texts(labeled):
    texts = labeled([("a", "x"), ("b", "y"), ("c", "x")])
    taken = texts.take([2, 0])
    assert (taken.texts, taken.label2id) == (["c", "a"], {"x": 0, "y": 1})
    assert (len(taken), taken.class_counts()) == (2, {"x": 2, "y": 0})


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        (ColumnMapping(("texts",), "label"), "the column 'texts'; found the columns 'text', 'label'"),
        (ColumnMapping(("text",), "Label", "split"), "the column 'Label', 'split'"),
        (ColumnMapping((), "label"), "at least one text column"),
        (ColumnMapping(("text",), "text"), "'text' chosen twice"),
    ],
)
def test_a_mapping_that_does_not_fit_is_an_error_that_names_the_columns(table, mapping, words):
    with pytest.raises(UserError, match=words):
        label_texts(table("text,label\na,x\n"), mapping)


@pytest.mark.parametrize(
    ("text", "trained_on", "guess"),
    [
        ("id,text\n1,some words here\n2,more of them\n", ("id",), ["id"]),
        ("Review,Label\none thing or so.,x\ntwo things or so.,y\nthree of them.,x\n", ("text",), ["Review"]),
        ("a,b\n1,longest of all\n2,long\n", (), ["b"]),
    ],
    ids=["trained on", "guessed", "longest"],
)
def test_the_text_to_label_is_what_the_model_was_trained_on_or_what_looks_like_text(text, trained_on, guess):
    assert guess_text(read_table(text.encode()), trained_on) == guess


@pytest.mark.parametrize(
    ("text", "label", "found"),
    [
        ([], "label", "none chosen for the text"),
        (["text"], None, "none chosen for the label"),
        ([], None, "none chosen for the text and the label"),
        (["text", "label"], "label", "label as both"),
    ],
)
def test_columns_that_a_person_has_not_all_chosen_are_said(text, label, found):
    with pytest.raises(UserError) as error:
        chosen_mapping(text, label)
    assert error.value.found == found

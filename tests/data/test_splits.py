import math
import random
import subprocess
import sys
from pathlib import Path

import pytest

from core.base.errors import UserError
from core.data.labels import ColumnMapping, guess_mapping, label_texts, normal_text
from core.data.reading.files import read_table
from core.data.splits import SplitPlan, split_by_column, split_by_percent, split_with_files


def parts(splits):
    return splits.train, splits.validation, splits.test


def assert_no_text_is_shared(splits):
    train, validation, test = ({normal_text(text) for text in part.texts} for part in parts(splits))
    assert not train & validation
    assert not train & test
    assert not validation & test


def assert_adds_up(splits, *given):
    assert sum(map(len, parts(splits))) + sum(splits.removed.values()) == sum(map(len, given))


def assert_stratified(splits, labeled, plan):
    for label, rows in labeled.class_counts().items():
        for part, percent in ((splits.validation, plan.validation_percent), (splits.test, plan.test_percent)):
            assert abs(part.class_counts()[label] - rows * percent / 100) <= 1, label


def some(labeled, sizes):
    """Texts of these class sizes, a tenth of them repeated in another writing."""
    pairs = []
    for label, size in sizes.items():
        for i in range(size):
            number = i if i % 10 else i // 2
            pairs.append((f"Text {number} of {label}" if i % 20 else f"  text  {number} OF {label}", label))
    random.Random(0).shuffle(pairs)
    return labeled(pairs)


@pytest.mark.parametrize("percents", [(10, 10), (20, 0), (0, 25), (12.5, 7.5), (45, 45), (1, 1)])
@pytest.mark.parametrize("seed", [0, 1, 42])
def test_percentages_are_kept_per_class_and_no_text_is_shared(labeled, percents, seed):
    texts = some(labeled, {"a": 500, "b": 83, "c": 21})
    plan = SplitPlan(*percents, seed=seed)
    splits = split_by_percent(texts, plan)
    assert_stratified(splits, texts, plan)
    assert_no_text_is_shared(splits)
    assert_adds_up(splits, texts)
    assert {part.label2id == texts.label2id for part in parts(splits)} == {True}


@pytest.mark.parametrize(
    "name", ["sst2", "trec6", "sms_spam", "banking77", "rotten_tomatoes", "germeval2018"]
)
def test_real_sets_are_split_as_asked(shared, name):
    table = read_table(shared(f"data/{name}/train.csv"))
    texts, _ = label_texts(table, guess_mapping(table))
    splits = split_by_percent(texts, SplitPlan())
    assert_stratified(splits, texts, SplitPlan())
    assert_no_text_is_shared(splits)
    assert_adds_up(splits, texts)


def test_without_stratifying_the_whole_is_kept_to_its_percentage(labeled):
    texts = some(labeled, {"a": 500, "b": 83, "c": 21})
    splits = split_by_percent(texts, SplitPlan(20, 10, stratified=False))
    assert (len(splits.validation), len(splits.test)) == (121, 60)
    assert_no_text_is_shared(splits)
    assert_adds_up(splits, texts)


def test_the_seed_alone_decides(labeled):
    texts = some(labeled, {"a": 60, "b": 60})
    assert split_by_percent(texts, SplitPlan(seed=7)) == split_by_percent(texts, SplitPlan(seed=7))
    assert split_by_percent(texts, SplitPlan(seed=7)).test != split_by_percent(texts, SplitPlan(seed=8)).test


@pytest.mark.process
def test_the_split_does_not_depend_on_the_hash_seed_of_the_process():
    script = (
        "from core.data.labels import LabeledTexts\n"
        "from core.data.splits import SplitPlan, split_by_percent\n"
        "texts = LabeledTexts([f't{i % 90}' for i in range(99)], [i % 3 for i in range(99)],"
        " {'a': 0, 'b': 1, 'c': 2})\n"
        "splits = split_by_percent(texts, SplitPlan())\n"
        "print(splits.test.texts, splits.validation.texts)\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_small_classes_give_one_text_to_each_part_and_the_smallest_give_none(labeled):
    texts = labeled(
        [
            (f"{label} {i}", label)
            for label, size in {"a": 5, "b": 3, "c": 2, "d": 1}.items()
            for i in range(size)
        ]
    )
    splits = split_by_percent(texts, SplitPlan(10, 10))
    assert splits.train.class_counts() == {"a": 3, "b": 1, "c": 2, "d": 1}
    assert splits.validation.class_counts() == splits.test.class_counts() == {"a": 1, "b": 1, "c": 0, "d": 0}


def test_a_class_of_one_repeated_text_stays_in_train(labeled):
    texts = labeled([("over and over", "a")] * 20 + [(f"text {i}", "b") for i in range(20)])
    splits = split_by_percent(texts, SplitPlan())
    assert splits.train.class_counts()["a"] == 20


def test_repeated_texts_that_are_too_many_for_test_may_still_go_to_validation(labeled):
    pairs = [(f"text {i // 3} of {label}", label) for label in "ab" for i in range(18)]
    splits = split_by_percent(labeled(pairs), SplitPlan(validation_percent=50, test_percent=5))
    assert splits.validation.class_counts() == {"a": 9, "b": 9}
    assert len(splits.test) == 0


def test_texts_with_two_labels_are_trained_on_only(labeled):
    texts = labeled(
        [(f"text {i}", label) for i in range(50) for label in ("a", "b")]
        + [(f"a {i}", "a") for i in range(9)]
    )
    splits = split_by_percent(texts, SplitPlan(20, 20))
    assert len(splits.train) >= 100
    assert all(text.startswith("a ") for text in [*splits.test.texts, *splits.validation.texts])


def test_rows_keep_their_order_within_a_part(labeled):
    texts = labeled([(f"{i:03}", "ab"[i % 2]) for i in range(100)])
    for part in parts(split_by_percent(texts, SplitPlan())):
        assert part.texts == sorted(part.texts)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (SplitPlan(-1, 95, seed=-3), "validation -1%; test 95%; seed -3"),
        (SplitPlan(60, 50), "validation and test together 110%"),
        (SplitPlan(math.nan, 10), "validation nan%"),
        (SplitPlan(10, 10, seed=1.5), "seed 1.5"),
    ],
)
def test_a_plan_out_of_range_is_refused_with_all_problems_at_once(labeled, plan, words):
    with pytest.raises(UserError, match=words):
        split_by_percent(labeled([("a", "x"), ("b", "y")]), plan)


def test_one_class_cannot_be_split(labeled):
    with pytest.raises(UserError, match="two or more classes"):
        split_by_percent(labeled([("a", "x"), ("b", "x")]), SplitPlan())


def test_own_files_are_kept_and_shared_texts_are_removed_from_the_earlier_part(labeled):
    train = labeled([("one", "x"), ("TWO ", "y"), ("three", "x"), ("four", "y"), ("five", "x")])
    validation = labeled([("two", "y"), ("six", "x"), ("three", "x")])
    test = labeled([("Three", "x"), ("seven", "y")])
    splits = split_with_files(train, validation, test, SplitPlan())
    assert splits.train.texts == ["one", "four", "five"]
    assert splits.validation.texts == ["two", "six"]
    assert splits.test == test
    assert splits.removed == {
        "training texts that also stand in test": 1,
        "training texts that also stand in validation": 1,
        "validation texts that also stand in test": 1,
    }
    assert_adds_up(splits, train, validation, test)
    assert_no_text_is_shared(splits)
    assert splits.how == "Own files for validation and test."


def test_missing_files_are_taken_from_train(labeled):
    train = some(labeled, {"a": 100, "b": 100})
    test = labeled([("text 1 of a", "a"), ("new", "b")])
    splits = split_with_files(train, None, test, SplitPlan(validation_percent=20, test_percent=50))
    assert splits.test == test
    assert len(splits.validation) == round(
        (len(train) - splits.removed["training texts that also stand in test"]) / 5
    )
    assert_adds_up(splits, train, test)
    assert_no_text_is_shared(splits)
    alone = split_with_files(train, None, None, SplitPlan(10, 0))
    assert (len(alone.validation), len(alone.test)) == (20, 0)


def test_parts_with_other_label_numbers_are_a_mistake_of_the_program(labeled):
    with pytest.raises(ValueError, match="label2id"):
        split_with_files(
            labeled([("a", "x"), ("b", "y")]), None, labeled([("c", "y"), ("d", "z")]), SplitPlan()
        )


def test_train_may_not_be_used_up_by_removing(labeled):
    pairs = [("a", "x"), ("b", "y")]
    with pytest.raises(UserError, match="training texts of two or more classes; found 0 texts"):
        split_with_files(labeled(pairs), None, labeled(pairs), SplitPlan())


MAPPING = ColumnMapping(("text",), "label", "split")


def test_a_split_column_is_followed(table):
    rows = ["one,x,train", "two,y,Training", "three,x,DEV", "four,y,valid ", "five,x,test", "six,y,"]
    rows += ["seven,z,test", "eight,x,holiday", "nine,y,train", "TWO,y,test", ",x,train"]
    splits, rejected = split_by_column(table("\n".join(["text,label,split", *rows])), MAPPING)
    assert splits.train.texts == ["one", "nine"]
    assert splits.validation.texts == ["three", "four"]
    assert splits.test.texts == ["five", "TWO"]
    assert splits.removed == {"training texts that also stand in test": 1}
    assert [(row.line, row.reason) for row in rejected] == [
        (7, "the split '' is none of train, validation and test"),
        (8, "the label 'z' is not among the labels to learn"),
        (9, "the split 'holiday' is none of train, validation and test"),
        (12, "the text is empty (text)"),
    ]
    assert splits.how == "As the column split says."


def test_without_validation_rows_some_are_taken_from_train_and_test_stays_empty(table):
    rows = [f"text {i},{'xy'[i % 2]},train" for i in range(100)]
    splits, _ = split_by_column(table("\n".join(["text,label,split", *rows])), MAPPING, SplitPlan(20, 30))
    assert [len(part) for part in parts(splits)] == [80, 20, 0]
    assert "20% for validation" in splits.how


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        (ColumnMapping(("text",), "label"), "a split column; found none"),
        (ColumnMapping(("text",), "label", "part"), "the column 'part'"),
        (MAPPING, "the value train in the column 'split'; found the values 'test', 'a'"),
    ],
)
def test_a_split_column_that_does_not_split_is_an_error(table, mapping, words):
    with pytest.raises(UserError, match=words):
        split_by_column(table("text,label,split\none,x,test\ntwo,y,test\nthree,y,a\n"), mapping)

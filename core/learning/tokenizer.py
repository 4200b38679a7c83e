"""A model folder's tokenizer, without transformers: importing that takes longer than tokenising."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

SETTINGS = "tokenizer_config.json"
_COMPANIONS = ("special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt")
"""What older programs read beside tokenizer.json."""

_UNLIMITED = 100_000
"""Tokens; some tokenizers say 1e30 for "no limit"."""


_HALF_PAIR = re.compile("[\ud800-\udfff]")
"""No character: half of a surrogate pair, as a cut JSON escape or an odd file name leaves it."""


class TextTokenizer:
    """Texts to token ids, special tokens included, cut at `max_length` tokens."""

    def __init__(self, folder: Path, max_length: int | None = None) -> None:
        self._folder = folder
        self._settings = _json(folder / SETTINGS)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self.max_length = max_length or int(min(self._settings.get("model_max_length", 512), _UNLIMITED))
        self._tokenizer.enable_truncation(self.max_length)
        self.padding_id = self._padding_id()

    def encode(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """Token ids of each text, and how many texts lost their end."""
        try:
            encodings = self._tokenizer.encode_batch_fast(list(texts))
        except TypeError:
            # Looked for only now: hardly any text has one, and a search takes time.
            encodings = self._tokenizer.encode_batch_fast([_whole(text) for text in texts])
        return [encoding.ids for encoding in encodings], sum(bool(e.overflowing) for e in encodings)

    def spans(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """One text's token ids, and from where to where each stands, in characters; special ones nowhere."""
        encoding = self._tokenizer.encode(_whole(text))
        special = encoding.special_tokens_mask
        return encoding.ids, [
            (0, 0) if is_special else span for span, is_special in zip(encoding.offsets, special, strict=True)
        ]

    def blank(self, text: str) -> list[int]:
        """The token ids of a text with padding in the place of every word; special ones stay."""
        encoding = self._tokenizer.encode(_whole(text))
        pairs = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
        return [number if is_special else self.padding_id for number, is_special in pairs]

    def save(self, folder: Path) -> None:
        """Write the files that transformers and others read; the max length is among their settings."""
        self._tokenizer.save(str(folder / "tokenizer.json"))
        settings = self._settings | {"model_max_length": self.max_length}
        (folder / SETTINGS).write_text(json.dumps(settings, indent=2, ensure_ascii=False), encoding="utf-8")
        for name in _COMPANIONS:
            if (self._folder / name).is_file():
                (folder / name).write_bytes((self._folder / name).read_bytes())

    def _padding_id(self) -> int:
        token = self._settings.get("pad_token") or _json(self._folder / "special_tokens_map.json").get(
            "pad_token"
        )
        if isinstance(token, dict):
            token = token.get("content")
        number = self._tokenizer.token_to_id(token) if token else None
        if number is None:
            number = _json(self._folder / "config.json").get("pad_token_id")
        return number or 0


def _whole(text: str) -> str:
    """The text with a replacement character for each half of a pair; it stays as long as it was."""
    return _HALF_PAIR.sub("\ufffd", text)


def _json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

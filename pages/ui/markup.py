"""Other people's text as Markdown with colours."""

from collections.abc import Sequence

from core.base.formatting import escape_markdown, shorten

BREAK = "\u200b"
"""A place where a line may end, of no width."""

_FAINT, _STRONG = 0.1, 0.5
"""Shares of the largest weight from which a word is coloured, and bold."""

_MOST_UNREAD = 300
"""Characters shown of what a model does not read."""


def coloured_words(text: str, spans: Sequence[tuple[int, int]], weights: Sequence[float], read: int) -> str:
    """A text as safe Markdown, its words coloured: blue above zero, orange below, the more the stronger.

    Args:
        spans: where the words are, in order, in characters.
        weights: one per word.
        read: characters that count at all; what comes after them is grey.
    """
    most = max((abs(weight) for weight in weights), default=0.0)
    parts, last = [], 0
    for (start, end), weight in zip(spans, weights, strict=True):
        # Between words without a space: a place to break a line, which also keeps marks of Markdown apart.
        parts.append(" " if start > last else BREAK)
        parts.append(_coloured(escape_markdown(text[start:end]), weight / most if most else 0.0))
        last = end
    if rest := escape_markdown(shorten(text[read:].strip(), _MOST_UNREAD)):
        parts.append(f" :gray[{rest}]")
    return "".join(parts[1:])


def _coloured(word: str, strength: float) -> str:
    if abs(strength) < _FAINT:
        return word
    colour = "blue" if strength > 0 else "orange"
    if abs(strength) < _STRONG:
        return f":{colour}-background[{word}]"
    return f":{colour}-background[**{word}**]"

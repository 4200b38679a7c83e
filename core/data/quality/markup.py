"""Marks of web pages and of Markdown inside of texts: whether there are any, and the text without them."""

import html
import html.entities
import re
from html.parser import HTMLParser

TAGS = frozenset(
    re.findall(
        r"\S+",
        """
        a abbr address article aside audio b big blockquote body br button canvas caption center cite code
        col dd del details dfn div dl dt em embed fieldset figure font footer form frame h1 h2 h3 h4 h5 h6
        head header hr html i iframe img input ins kbd label legend li link main map mark meta nav noscript
        object ol option p param picture pre q s samp script section select small source span strike strong
        style sub summary sup svg table tbody td template textarea tfoot th thead title tr tt u ul var video
        wbr
        """,
    )
)
"""Names of HTML elements; what else stands between angle brackets (<user>, <3) is text."""

_INLINE = TAGS & frozenset(
    re.findall(
        r"\S+", "a abbr b big cite code del em font i ins kbd label mark q s small span strong sub sup u"
    )
)
_UNSEEN = frozenset(("script", "style", "head", "template"))
_TAG = re.compile(
    r"</?(" + "|".join(sorted(TAGS, key=len, reverse=True)) + r")(\s[^<>]*)?/?>|<!--", re.IGNORECASE
)
_ENTITY = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});")
# Marks that unescaping brings to light are taken out as well, to this depth.
_DEPTH = 3

_LINK = re.compile(r"(?:https?://|www\.)[^\s<>]+", re.IGNORECASE)
_MARKDOWN = (
    (re.compile(r"!?\[([^\[\]\n]{1,300})\]\((?:https?://|/|#|mailto:)[^()\s]*\)"), r"\1"),
    (re.compile(r"(?<![\w*])\*\*(?=\S)([^*\n]{1,300}?)(?<=\S)\*\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<![\w@])__(?=\S)([^_\n]{1,300}?)(?<=\S)__(?!\w)"), r"\1"),
    (re.compile(r"^#{1,6} +(?=\S)", re.MULTILINE), ""),
    (re.compile(r"^```[^\n`]*$\n?", re.MULTILINE), ""),
)


def has_html(text: str) -> bool:
    """Whether there are HTML tags, comments or entities in it."""
    if "<" in text and _TAG.search(text):
        return True
    return "&" in text and any(_is_entity(match.group(1)) for match in _ENTITY.finditer(text))


def first_mark(text: str) -> int:
    """Where the first tag or entity stands; 0 where there is none."""
    marks = [*_TAG.finditer(text), *(match for match in _ENTITY.finditer(text) if _is_entity(match.group(1)))]
    return min((match.start() for match in marks), default=0)


def strip_html(text: str) -> str:
    """The text as a browser would show it, without what it does not show; white space is folded."""
    for _ in range(_DEPTH):
        if not has_html(text):
            break
        parser = _Text()
        # A marked section that HTML does not know is an AssertionError in html.parser.
        parser.feed(_without_torn_end(_without_comments(text)).replace("<![", "&lt;!["))
        parser.close()
        text = " ".join("".join(parser.pieces).split())
    return text


def has_markdown(text: str) -> bool:
    """Whether there are links, strong words, headings or code fences of Markdown in it."""
    if not any(mark in text for mark in ("](", "**", "__", "# ", "```")):
        return False
    return any(pattern.search(text) for pattern, _ in _MARKDOWN)


def strip_markdown(text: str) -> str:
    """The text without these marks; what they marked stays."""
    for pattern, kept in _MARKDOWN:
        text = pattern.sub(kept, text)
    return text.strip()


def is_only_links(text: str) -> bool:
    """Whether nothing but web addresses stands in it."""
    # Most texts say in their first word that they are none.
    first = next(iter(text.split(None, 1)), "")
    return _LINK.search(first) is not None and not re.search(r"\w", _LINK.sub(" ", text))


def _without_comments(text: str) -> str:
    """The text without HTML comments; of one that is never closed, only its mark is taken out.

    In html.parser many unclosed ones take time that grows with the square of their number.
    """
    pieces, start = [], 0
    while (begin := text.find("<!--", start)) >= 0:
        pieces.append(text[start:begin])
        end = text.find("-->", begin + 4)
        if end < 0:
            return "".join([*pieces, text[begin:].replace("<!--", " ")])
        start = end + 3
    return "".join([*pieces, text[start:]])


def _without_torn_end(text: str) -> str:
    """The text with "<" as text where no ">" follows, so that no tag can end.

    In html.parser each of these is tried as a tag up to the end of the text, some of them many times over.
    """
    end = text.rfind(">") + 1
    return text[:end] + text[end:].replace("<", "&lt;")


def _is_entity(name: str) -> bool:
    return name.startswith("#") or f"{name};" in html.entities.html5


class _Text(HTMLParser):
    """Collects what a browser would show."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._mark(tag, self.get_starttag_text() or "")
        self._unseen += tag in _UNSEEN

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._mark(tag, self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        self._mark(tag, f"</{tag}>")
        self._unseen = max(0, self._unseen - (tag in _UNSEEN))

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.pieces.append(data)

    def _mark(self, tag: str, source: str) -> None:
        if tag not in TAGS:
            self.handle_data(source)
        elif tag not in _INLINE:
            self.pieces.append(" ")

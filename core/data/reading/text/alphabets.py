"""Which single-byte encoding turns bytes into the letters of one language that is written in Latin letters.

Tables hold short texts, labels and signs between them; what tells such encodings apart are the few letters
beyond a to z, and these all belong to one alphabet where the encoding is the right one.
"""

import unicodedata

WESTERN = (
    "äöüß",  # German
    "àâæçéèêëîïôœùûüÿ",  # French
    "áéíñóúü¿¡ºª",  # Spanish
    "áâãàçéêíóôõú",  # Portuguese
    "àèéìíîòóùú",  # Italian
    "åäöé",  # Swedish, Finnish
    "åæøéèêóòôâ",  # Danish, Norwegian
    "áðéíóúýþæö",  # Icelandic
    "áéëèïíóöúü",  # Dutch
    "àçèéíïòóúü·",  # Catalan
)
CENTRAL = (
    "ąćęłńóśźż",  # Polish
    "áčďéěíňóřšťúůýž",  # Czech
    "áäčďéíĺľňóôŕšťúýž",  # Slovak
    "áéíóöőúüű",  # Hungarian
    "čćđšž",  # Croatian, Slovene
    "ăâîşţ",  # Romanian
)
TURKISH = ("âçğıîöşûü",)
BALTIC = (
    "ąčęėįšųūž",  # Lithuanian
    "āčēģīķļņšūž",  # Latvian
    "äöõüšž",  # Estonian
)
ALPHABETS = {
    "cp1252": WESTERN,
    "cp1250": CENTRAL,
    "cp1254": TURKISH,
    "cp1257": BALTIC,
    "iso8859-2": CENTRAL,
    "mac-roman": WESTERN,
    "cp850": WESTERN,
}
"""In this order: the first of those that fit equally well is meant."""

USUAL = "cp1252"
LEAST_LETTERS, LEAST_DIFFERENT = 5, 3
"""Fewer letters beyond a to z may fit an alphabet by chance."""

ENOUGH, BETTER_BY = 0.95, 0.1
"""The share of letters that fits, and by how much it exceeds that of the usual encoding."""


def latin_encoding(sample: bytes) -> str | None:
    """The encoding in which nearly all letters beyond a to z belong to one language; None if in none."""
    shares = {encoding: _share(sample, encoding) for encoding in ALPHABETS}
    best = max(shares, key=shares.__getitem__)
    if shares[best] < ENOUGH or shares[best] < shares[USUAL] + BETTER_BY:
        return None
    return best


def _share(sample: bytes, encoding: str) -> float:
    """The share of characters beyond ASCII that a text in one of the encoding's languages may hold."""
    try:
        # In lower case, the Turkish capital i is two characters.
        text = sample.decode(encoding).replace("İ", "i").lower()
    except UnicodeDecodeError:
        return 0.0
    found = [i for i, character in enumerate(text) if not character.isascii()]
    signs = sum(_is_sign(text, i) for i in found)
    letters = [text[i] for i in found if text[i].isalpha()]
    if encoding != USUAL and (len(letters) < LEAST_LETTERS or len(set(letters)) < LEAST_DIFFERENT):
        return 0.0
    fitting = max(sum(letter in alphabet for letter in letters) for alphabet in ALPHABETS[encoding])
    return (fitting + signs) / len(found) if found else 0.0


def _is_sign(text: str, index: int) -> bool:
    """Whether the character is a quotation mark, a dash or the like, and stands where these stand."""
    inside = text[index - 1 : index].isalpha() and text[index + 1 : index + 2].isalpha()
    kind = unicodedata.category(text[index])
    return text[index] in "’–—\xa0\xad" or (kind[0] in "PS" and not inside)

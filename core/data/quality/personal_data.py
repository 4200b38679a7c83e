"""Hints at personal data in texts: e-mail addresses, phone, bank account and card numbers.

Hints, not proof: names and addresses are not found, and a long order number may look like a phone number.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Datum:
    """One find: what it seems to be, and where it stands in its text."""

    kind: str
    start: int
    end: int


HIDDEN = "•••"
"""What stands for the part that `hint` hides."""

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])")
_IBAN = re.compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\b")
_DIGITS = re.compile(r"(?<![\w.,/-])[+(]{0,2}[0-9](?:[ ().\-/]{0,3}[0-9]){6,18}(?![\w])(?![.,][0-9])")
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}[-./ ][0-9]{1,2}[-./ ][0-9]{1,2}|[0-9]{1,2}[-./ ][0-9]{1,2}[-./ ](?:19|20)[0-9]{2}"
)


def find(text: str) -> list[Datum]:
    """Everything in the text that looks like personal data, from left to right."""
    found: list[Datum] = []
    # Which characters are part of a find: to compare each with all others takes the square of their number.
    taken = bytearray(len(text))
    for datum in _candidates(text):
        if not any(taken[datum.start : datum.end]):
            taken[datum.start : datum.end] = b"\1" * (datum.end - datum.start)
            found.append(datum)
    return sorted(found, key=lambda datum: datum.start)


def mask(text: str) -> str:
    """The text with the kind of each find in its place: "write to [e-mail address]"."""
    return _replaced(text, lambda datum, _: f"[{datum.kind}]")


def hint(text: str) -> str:
    """The text with the middle of each find hidden, for showing."""
    return _replaced(text, lambda _, value: f"{value[:2]}{HIDDEN}{value[-2:]}")


def _replaced(text: str, write: Callable[[Datum, str], str]) -> str:
    pieces, end = [], 0
    for datum in find(text):
        pieces += [text[end : datum.start], write(datum, text[datum.start : datum.end])]
        end = datum.end
    return "".join([*pieces, text[end:]])


def _candidates(text: str) -> Iterator[Datum]:
    """Surer kinds first: what one has is not looked at for the next."""
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield Datum("e-mail address", *match.span())
    if not any(digit in text for digit in "0123456789"):
        return
    for match in _IBAN.finditer(text):
        if _is_iban(match.group().replace(" ", "")):
            yield Datum("IBAN", *match.span())
    for match in _DIGITS.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if 13 <= len(digits) <= 19 and _passes_luhn(digits):
            yield Datum("card number", *match.span())
        elif _is_phone(match.group(), digits):
            yield Datum("phone number", *match.span())


def _is_iban(value: str) -> bool:
    """ISO 13616: with its first four characters at its end, and letters as numbers, it is 1 modulo 97."""
    if not 15 <= len(value) <= 34:
        return False
    return int("".join(str(int(letter, 36)) for letter in value[4:] + value[:4])) % 97 == 1


def _passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1


def _is_phone(written: str, digits: str) -> bool:
    """With the international or the national prefix, or in groups as in North America; no date."""
    if _DATE.search(written) or not 8 <= len(digits) <= 15 or len(set(digits)) < 3:
        return False
    if re.fullmatch(r"0[.,][0-9]+", written):
        return False
    grouped = re.fullmatch(r"\(?[2-9][0-9]{2}\)?[ .-]?[0-9]{3}[ .-][0-9]{4}", written)
    return written.lstrip("(").startswith(("+", "0")) or grouped is not None

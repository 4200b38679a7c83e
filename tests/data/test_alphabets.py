"""Short texts with English labels, in the encodings that their languages are written in."""

import pytest

from core.data.reading.text.decoding import decode_lines, find_encoding

TEXTS = {
    "cp1250 iso8859-2": (
        "Nie podobał mi się ten film, był za długi i źle zagrany|Obsługa była miła, cenię jakość",
        "Film se mi vůbec nelíbil, byl příliš dlouhý|Zásilka přišla pozdě, těším se na další",
        "Nem tetszett a film, túl hosszú volt, rosszul játszották|A kiszolgálás gyönyörű, bőséges, sűrű",
    ),
    "cp1252 iso8859-1 mac-roman": (
        "Der Film hat mir überhaupt nicht gefallen|Die Bedienung war schön, größtenteils ärgerlich",
        "Le film ne m'a pas plu, trop long et mal joué|Le service était très agréable, ça plaît à Zoë",
        "La película no me gustó, ¡qué decepción!|Mañana volveré con mi señora, será un éxito",
    ),
    "cp1254 iso8859-9": (
        "Film hiç hoşuma gitmedi, çok uzundu|Şöyle böyle, ürün güzeldi ama bir daha almam, değmez",
    ),
    "cp1257": ("Filmas nepatiko, buvo per ilgas|Knyga atėjo vėlai, džiaugiuosi, daugiau nepirksiu šių žuvų",),
}
CASES = [(name, text) for names, texts in TEXTS.items() for name in names.split() for text in texts]


@pytest.mark.parametrize(("encoding", "text"), CASES)
@pytest.mark.parametrize("times", [1, 20])
def test_latin_letters_are_read_as_those_of_one_language(encoding, text, times):
    table = "text,label\n" + "".join(f'"{line}",positive\n' for line in text.split("|")) * times
    content = table.encode(encoding)
    assert "".join(decode_lines(content, find_encoding(content))[0]) == table


@pytest.mark.parametrize(
    "text",
    [
        "He said “no” – and naïve café owners, of course, said “yes”…\n" * 3,
        "It costs £5 or €6, 20° and 30 m² ¹\n" * 30,
        "Zoë and Renée met José, Björn, Łukasz's friend, in Málaga\n".replace("Ł", "L") * 10,
    ],
)
def test_english_with_a_few_foreign_letters_is_in_the_usual_encoding(text):
    assert find_encoding(text.encode("cp1252")) == "cp1252"


def test_japanese_by_escapes_is_no_ascii():
    text = "text,label\n映画は好きではありません,negative\n"
    content = text.encode("iso2022_jp")
    assert "".join(decode_lines(content, find_encoding(content))[0]) == text

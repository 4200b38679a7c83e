import pytest

from core.data.reading.text.decoding import decode_lines, find_encoding


def decode(content):
    encoding = find_encoding(content)
    return encoding, *decode_lines(content, encoding)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        (
            "cp1250",
            "Zażółć gęślą jaźń, rzekł Święty Mikołaj. Źdźbło trawy drży na wietrze; łódź płynie wśród mgły. ",
        ),
        ("cp1251", "Поезд опоздал на час, и никто не сказал почему. Вечером пошёл дождь. "),
        ("shift_jis", "今日はとても良い天気ですね。明日は雨が降るかもしれません。図書館で本を読みました。"),
        ("gb18030", "今天天气很好，我们一起去图书馆看书。明天可能会下雨，请带上雨伞。"),
    ],
)
def test_other_scripts_and_alphabets_are_recognised(encoding, text):
    content = "".join(f"{text}\n" for _ in range(20)).encode(encoding)
    _, lines, broken = decode(content)
    assert lines[0].strip() == text.strip()
    assert not broken


def test_the_encoding_is_found_however_late_the_first_foreign_letter_comes():
    plain = b"x" * 2_000_000 + b"\n"
    text = "Поезд опоздал на час, и никто не сказал почему. Вечером пошёл дождь.\n" * 5
    encoding, lines, _ = decode(plain + text.encode("cp1251"))
    assert (encoding, lines[1:]) == ("cp1251", text.splitlines(keepends=True))


def test_bytes_that_cp1252_lacks_are_still_read():
    encoding, lines, _ = decode(b"plain text\nodd \x81 byte\n")
    assert encoding == "latin-1"
    assert lines[1] == "odd \x81 byte\n"


def test_a_file_cut_off_within_a_character_has_one_broken_line():
    encoding, lines, broken = decode("äöü äöü äöü\näöü äöü\n".encode()[:-2])
    assert encoding == "utf-8"
    assert broken == {1}
    assert len(lines) == 2


def test_utf16_cut_off_within_a_character_is_read_up_to_there():
    _, lines, broken = decode("text,label\ngood,x\n".encode("utf-16")[:-1])
    assert lines[0] == "text,label\n"
    assert broken == {1}


@pytest.mark.parametrize("name", ["utf-16", "utf-32"])
def test_a_chosen_encoding_of_another_mark_is_decoded(name):
    assert find_encoding(b"\x00\x00\xfe\xffa,b\n", "utf-16").startswith("utf-16-")
    assert find_encoding(b"a\x00,\x00", name) == f"{name}-le"

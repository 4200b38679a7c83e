import pytest

from core.data.reading.text.dialects import choose_form, read_records


class CountedLines(list):
    """Lines that count how often one of them is read."""

    def __init__(self, lines):
        super().__init__(lines)
        self.reads = 0

    def __getitem__(self, index):
        if isinstance(index, int):
            self.reads += 1
        return super().__getitem__(index)


@pytest.mark.parametrize("line", ['a",",x\n', '"a,b\n', 'a,"""\n', '"a,pos\n', '"\n'])
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_hostile_quotation_marks_do_not_make_reading_quadratic(line, delimiter):
    lines = CountedLines(["text,label\n".replace(",", delimiter), *[line.replace(",", delimiter)] * 20_000])
    read_records(lines, choose_form(lines))
    # Reading every line to the end of the file anew would be 200 million.
    assert lines.reads < 20 * len(lines)

"""Packed files: the one table inside, whatever the archive claims, in bounded memory."""

import gzip
import io
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib

import pytest

from core.base.errors import UserError
from core.data.reading import archives
from core.data.reading.files import read_table
from core.data.tables import Limits, ReadOptions
from tests.data.packing import CSV, parquet, workbook, zipped

SMALL = Limits(bytes=1_000_000)


def rows(table):
    return table.frame.values.tolist()


def test_a_gzip_file_is_read_as_what_is_in_it():
    table = read_table(gzip.compress(CSV))
    assert (table.dialect.packed, table.dialect.format, table.dialect.members) == ("gzip", "csv", ())
    assert rows(table) == [["a", "x"], ["b", "y"]]


def test_a_gzip_file_of_several_parts_is_one_file():
    assert rows(read_table(gzip.compress(CSV[:13]) + gzip.compress(CSV[13:]))) == [["a", "x"], ["b", "y"]]


def test_a_zip_archive_with_one_table():
    dialect = read_table(zipped({"folder/": b"", "folder/data.csv": CSV})).dialect
    assert (dialect.packed, dialect.member, dialect.members) == (
        "zip",
        "folder/data.csv",
        ("folder/data.csv",),
    )


@pytest.mark.parametrize(
    "content",
    [
        workbook({"A": [["text", "label"], ["a", "x"], ["b", "y"]]}),
        parquet({"text": ["a", "b"], "label": ["x", "y"]}),
        b'[{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]',
    ],
)
@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped({"data": content})])
def test_every_format_is_read_packed_too(pack, content):
    packed, plain = read_table(pack(content)), read_table(content)
    assert packed.frame.equals(plain.frame)
    assert packed.dialect.format == plain.dialect.format


def test_of_several_files_the_largest_table_is_read_and_another_can_be_chosen():
    archive = zipped({"readme.md": b"x" * 500, "small.csv": CSV, "large.csv": CSV + b"c,z\n"})
    table = read_table(archive)
    assert table.dialect.member == "large.csv"
    assert table.dialect.members == ("readme.md", "small.csv", "large.csv")
    assert len(read_table(archive, choice=ReadOptions(member="small.csv")).frame) == 2
    with pytest.raises(
        UserError, match=r"the file 'no.csv' in the archive; found readme.md, small.csv, large"
    ):
        read_table(archive, choice=ReadOptions(member="no.csv"))


def test_what_the_system_put_into_an_archive_is_no_table():
    junk = ("__MACOSX/._data.csv", ".DS_Store", "folder/.hidden/a.csv", "Thumbs.db", "desktop.ini")
    table = read_table(zipped({**dict.fromkeys(junk, b"x" * 5_000), "data.csv": CSV}))
    assert table.dialect.members == ("data.csv",)


@pytest.mark.parametrize(
    "name", ["../../up.csv", "/etc/passwd", "C:\\data.csv", "a\x1b[2Jb.csv", "long" * 9_000]
)
def test_names_in_an_archive_are_words_and_never_paths(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = read_table(zipped({name: CSV}))
    assert rows(table) == [["a", "x"], ["b", "y"]]
    assert table.dialect.member.isprintable()
    assert len(table.dialect.member) <= 200
    assert not list(tmp_path.iterdir())


def test_files_of_one_name_can_all_be_chosen():
    with pytest.warns(UserWarning, match="Duplicate name"):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.csv", CSV)
            archive.writestr("a.csv", CSV + b"c,z\n")
    assert read_table(file.getvalue()).dialect.members == ("a.csv", "a.csv (2)")
    for name, count in (("a.csv", 2), ("a.csv (2)", 3)):
        assert len(read_table(file.getvalue(), choice=ReadOptions(member=name)).frame) == count


# Attacks


def test_thousands_of_files_of_one_name_are_counted_in_one_go():
    members = [zipfile.ZipInfo("a.csv") for _ in range(9_999)]
    # To count up from 1 for each takes ten seconds.
    began = time.process_time()
    assert list(archives._named(members))[::9_998] == ["a.csv", "a.csv (9999)"]
    assert time.process_time() - began < 3


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped({"bomb.csv": content})])
def test_a_bomb_is_stopped_at_the_cap(pack):
    bomb = pack(b"text,label\n" + b"a,b\n" * 25_000_000)
    assert len(bomb) < SMALL.bytes
    tracemalloc.start()
    with pytest.raises(UserError, match="unpacks to at most 1.0 MB; found one that unpacks to more"):
        read_table(bomb, SMALL)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * SMALL.bytes


def test_a_zip_that_lies_about_its_size_is_stopped_at_the_cap():
    content = bytearray(zipped({"bomb.csv": b"a,b\n" * 2_000_000}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = content.index(signature) + offset
        content[place : place + 4] = struct.pack("<I", 2**31)
    with pytest.raises(UserError, match="unpacks to more"):
        read_table(bytes(content), SMALL)


def test_a_workbook_bomb_is_stopped_at_the_cap():
    content = zipped({"xl/workbook.xml": b"<x/>", "xl/media/a": bytes(50_000_000)})
    with pytest.raises(UserError, match="unpacks to more"):
        read_table(content, SMALL)


@pytest.mark.parametrize(
    "inner",
    [
        zipped({"a.csv": CSV}),
        gzip.compress(CSV),
        b"BZh91AY",
        b"7z\xbc\xaf\x27\x1c",
        zipped({}),
    ],
    # The content of a gzip file holds the time: as a name it would be another one in each worker.
    ids=["zip", "gzip", "bzip2", "7z", "empty zip"],
)
@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped({"data": content})])
def test_an_archive_in_an_archive_is_refused(pack, inner):
    with pytest.raises(UserError, match="found another archive inside of it"):
        read_table(pack(inner))


def test_a_tar_archive_is_refused_as_such():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.csv"))
    with pytest.raises(UserError, match="found a tar archive"):
        read_table(file.getvalue())
    with pytest.raises(UserError, match="found another archive"):
        read_table(gzip.compress(file.getvalue()))


@pytest.mark.parametrize(
    "magic", [b"BZh", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"]
)
def test_archives_of_other_kinds_are_refused_with_what_to_do(magic):
    with pytest.raises(UserError, match=r"packed as .zip or .gz; found an? \S+ archive") as error:
        read_table(magic + bytes(100))
    assert ".zip" in error.value.remedy


def test_an_encrypted_file_is_refused():
    content = bytearray(zipped({"a.csv": CSV}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    with pytest.raises(UserError, match="asks for a password"):
        read_table(bytes(content))


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_methods_that_may_take_any_memory_are_refused(method):
    with pytest.raises(UserError, match="packed in the usual way"):
        read_table(zipped({"a.csv": CSV}, method))


def test_an_archive_of_too_many_files_is_refused():
    with pytest.raises(UserError, match="at most 10,000 files"):
        read_table(zipped({"a.csv": CSV}) + b"PK\x01\x02" * 10_001)
    part = gzip.compress(b"")
    with pytest.raises(UserError, match="at most 100,000 parts"):
        read_table(part * 100_001)


@pytest.mark.parametrize("cut", [1, 8, 9, 15])
def test_a_gzip_file_that_is_cut_off_is_refused(cut):
    with pytest.raises(UserError, match="a whole gzip file; found one that is damaged or cut off"):
        read_table(gzip.compress(CSV)[:-cut])


@pytest.mark.parametrize(
    "change", [lambda c: c[:-9], lambda c: c[:40], lambda c: c[:45] + b"\x00\xff" + c[47:]]
)
def test_a_zip_archive_that_is_damaged_is_refused(change):
    with pytest.raises(UserError, match="a whole zip archive; found one that is damaged or cut off"):
        read_table(change(zipped({"a.csv": CSV * 10})))


@pytest.mark.parametrize("members", [{}, {"folder/": b""}, {".hidden": CSV}])
def test_an_archive_without_a_table(members):
    with pytest.raises(UserError, match="a table in the archive; found no file in it"):
        read_table(zipped(members))


def test_an_empty_file_in_an_archive():
    for content in (zipped({"a.csv": b"\n"}), gzip.compress(b"")):
        with pytest.raises(UserError, match="found an empty file"):
            read_table(content)


def test_a_checksum_that_is_wrong_is_found():
    content = bytearray(gzip.compress(CSV))
    content[-8:-4] = struct.pack("<I", zlib.crc32(CSV) ^ 1)
    with pytest.raises(UserError, match="damaged"):
        read_table(bytes(content))

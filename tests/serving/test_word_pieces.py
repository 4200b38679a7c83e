"""The browser's tokenizer beside `tokenizers`, run by Node."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from core.learning.pretrained import resolve
from core.learning.tokenizer import TextTokenizer
from core.serving.web_page import word_pieces

NODE = shutil.which("node")
LONGEST = 40
RUN = """
const fs = require("node:fs");
const makeTokenizer = new Function(fs.readFileSync(process.argv[1], "utf-8") + "; return makeTokenizer")();
const [tables, texts] = JSON.parse(fs.readFileSync(0, "utf-8"));
const tokenizer = makeTokenizer(tables);
const answers = texts.map((text) => tokenizer.encode(text)).map(({ ids, cut }) => [ids, cut]);
process.stdout.write(JSON.stringify(answers));
"""
PIECES = [
    *(
        "the",
        "Movie",
        "unbelievable",
        "naïve",
        "ÀÉÎ",
        "ẞß",
        "İıI",
        "ΣΑΣ",
        "ﬁne",
        "don't",
        "e-mail",
        "3.14",
        "١٢٣",
    ),
    *(
        "文字",
        "日本語テスト",
        "한국어",
        "𠀀",
        "豈",
        "שלום",
        "مرحبا",
        "हिन्दी",
        "ไทย",
        "e\u0301\u0323",
        "o\u0308\u031b",
    ),
    *(
        "😀",
        "👩‍👩‍👧",
        "🏳️‍🌈",
        "\u200b",
        "\u200d",
        "\ufeff",
        "\u00a0",
        "\u3000",
        "\t",
        "\r\n",
        "\0",
        "\ufffd",
        "\x07",
    ),
    *(
        "[MASK]",
        "[CLS]",
        "[SEP]x",
        "[mask]",
        "##ing",
        "$¢€",
        "«»“”…",
        "¿¡",
        "~^`|",
        "a" * 100,
        "b" * 101,
        "ab" * 300,
    ),
    *(
        "\u2028",
        "\u00ad",
        "constructor",
        "__proto__",
        "ǅ",
        "𝕳𝖊",
        "①",
        "Ⅳ",
        "\u0345",
        "ﷺ",
        "\U0010ffff",
        "\ue000",
    ),
]

pytestmark = [pytest.mark.skipif(NODE is None, reason="node is needed for this test"), pytest.mark.process]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The embedded model's tokenizer, cut at `LONGEST` tokens."""
    folder = tmp_path_factory.mktemp("tokenizer")
    TextTokenizer(resolve("bundled"), LONGEST).save(folder)
    return folder


def browsers_answers(folder: Path, texts: list[str]) -> list[tuple[list[int], bool]]:
    request = json.dumps([word_pieces.tables(folder), texts])
    done = subprocess.run(
        [NODE, "-e", RUN, str(word_pieces.CODE)], input=request.encode(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return [tuple(answer) for answer in json.loads(done.stdout)]


def right_answers(folder: Path, texts: list[str]) -> list[tuple[list[int], bool]]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    encodings = tokenizer.encode_batch(texts)
    return [(encoding.ids, bool(encoding.overflowing)) for encoding in encodings]


def hard_texts(number: int) -> list[str]:
    chance = random.Random(0)
    return [
        "".join(chance.choice(PIECES) + chance.choice(["", " ", "  "]) for _ in range(chance.randint(0, 12)))
        for _ in range(number)
    ]


def check_same(folder: Path, texts: list[str]) -> None:
    pairs = zip(texts, browsers_answers(folder, texts), right_answers(folder, texts), strict=True)
    assert [(text, found, right) for text, found, right in pairs if found != right] == []


def test_hard_texts_and_every_character_get_the_same_tokens(folder):
    numbers = [n for n in range(sys.maxunicode + 1) if not 0xD800 <= n < 0xE000]
    # Twelve characters a text, each between the letters of a word, so that what it does to words shows.
    every = [" ".join(f"a{chr(n)}b" for n in numbers[i : i + 12]) for i in range(0, len(numbers), 12)]
    hard = ["", " ", *PIECES, *hard_texts(4000), "word " * 37, "word " * 38, "word " * 39]
    check_same(folder, hard + every)


def test_a_tokenizer_that_keeps_case_and_accents(folder, tmp_path):
    TextTokenizer(folder).save(tmp_path)
    parts = json.loads((tmp_path / "tokenizer.json").read_text())
    parts["normalizer"] |= {"lowercase": False, "handle_chinese_chars": False}
    (tmp_path / "tokenizer.json").write_text(json.dumps(parts))
    check_same(tmp_path, [*PIECES, *hard_texts(300)])


def test_half_a_surrogate_pair_is_no_character(folder):
    assert browsers_answers(folder, ["a\ud800b", "\udc00"]) == right_answers(folder, ["a\ufffdb", "\ufffd"])


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("model", {"type": "BPE"}, "the model BPE"),
        ("normalizer", None, "the normalizer None"),
        ("pre_tokenizer", {"type": "ByteLevel"}, "the pre-tokenizer ByteLevel"),
        ("post_processor", {"type": "RobertaProcessing"}, "marks the ends"),
    ],
)
def test_other_tokenizers_are_refused_in_words(folder, tmp_path, part, value, words):
    parts = json.loads((folder / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(parts | {part: value}))
    assert words in word_pieces.refusal(tmp_path)
    assert word_pieces.refusal(folder) is None

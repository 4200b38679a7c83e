"""The page that classifies without a server, opened from the disk in the real browser."""

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from playwright.sync_api import Page, expect

from core.base.errors import UserError
from core.learning.evaluation.calibration import Calibration, write_calibration
from core.learning.pretrained import resolve
from core.learning.tokenizer import TextTokenizer
from core.serving.web_page import web_runtime
from core.serving.web_page.web_page import web_page_refusal, write_web_page

ATTACK = "</script><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"
LABELS = ["good", "bad", ATTACK, "שלום עולם", "中文", *(f"class {i}" for i in range(7))]
TEXTS = [
    *("a fine day", "We HATED it!", "naïve café, résumé…", "don't [MASK] me", "x", "3.14 ≈ π"),
    *(
        "שלום עולם, איך הולך",
        "مرحبا بالعالم",
        "今日はいい天気ですね",
        "안녕하세요 세계",
        "😀👩‍👩‍👧 ok",
        "long " * 200,
    ),
]
TEMPERATURE = 0.2
THRESHOLD = 0.9
MODELS = {"model.onnx": 1e-4, "model_quantized.onnx": 0.05}
"""How far probabilities may be from onnxruntime's. In 8 bits the last digit of a float32 decides roundings:
factors of 1 + 1e-6 on a model's norms alone move its probabilities by up to 0.07."""
WAIT = 60_000  # Milliseconds, on a busy machine.


@pytest.fixture(scope="session")
def runtime(tmp_path_factory) -> Path:
    """The files of onnxruntime-web: a folder that is set, or the npm package."""
    if os.environ.get(web_runtime.FOLDER):
        return Path(os.environ[web_runtime.FOLDER])
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("runtime")
    if npm is None:
        pytest.skip(f"npm or {web_runtime.FOLDER} is needed for this test")
    done = subprocess.run(
        [npm, "pack", "--silent", f"onnxruntime-web@{web_runtime.VERSION}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"npm has no onnxruntime-web for this test: {done.stderr.strip()[-200:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        for name in web_runtime.SHA256:
            archive.extract(f"package/dist/{name}", folder, filter="data")
    return folder / "package" / "dist"


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """A small random classifier with the embedded tokenizer and hostile class names; its ONNX files."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from core.serving.export import onnx_process

    folder = tmp_path_factory.mktemp("model")
    TextTokenizer(resolve("bundled"), 64).save(folder)
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        initializer_range=0.3,
    )
    config.id2label = dict(enumerate(LABELS))
    config.label2id = {label: number for number, label in config.id2label.items()}
    BertForSequenceClassification(config).save_pretrained(folder)
    write_calibration(folder, Calibration(TEMPERATURE, THRESHOLD))
    onnx_process.write_graph(folder, folder / "model.onnx")
    onnx_process.quantize(folder / "model.onnx", folder / "model_quantized.onnx")
    return folder


@pytest.fixture(scope="session")
def pages(folder, runtime, tmp_path_factory) -> dict[str, Path]:
    """The page of each ONNX file."""
    pages = {name: tmp_path_factory.mktemp("page") / f"{name}.html" for name in MODELS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(web_runtime.FOLDER, str(runtime))
        for name, page in pages.items():
            write_web_page(folder / name, folder, page, ATTACK)
    return pages


def right_answers(folder: Path, model: str) -> list[np.ndarray]:
    """Of onnxruntime, one text at a time: in 8 bits a batch changes the answers a little."""
    session = onnxruntime.InferenceSession(folder / model)
    answers = []
    for tokens in TextTokenizer(folder).encode(TEXTS)[0]:
        ids = np.array([tokens], dtype=np.int64)
        logits = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]
        powers = np.exp((logits - logits.max()) / TEMPERATURE)
        answers.append(powers / powers.sum())
    return answers


@pytest.mark.parametrize("model", MODELS)
def test_it_answers_as_onnxruntime_does_and_asks_no_network(model, pages, folder, page: Page):
    file, asked, errors = pages[model], [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.context.set_offline(True)
    page.goto(file.as_uri())
    expect(page.locator("body")).to_have_attribute("data-ready", "yes", timeout=WAIT)
    labels, unsure, largest = set(), set(), 0.0
    for text, right in zip(TEXTS, right_answers(folder, model), strict=True):
        page.fill("#text", text)
        expect(page.locator("body")).to_have_attribute("data-answered", text, timeout=WAIT)
        rows = page.locator(".row").evaluate_all(
            "rows => rows.map((row) => [row.querySelector('.name').textContent, +row.dataset.probability])"
        )
        found = np.array([dict(rows)[label] for label in LABELS])
        largest = max(largest, float(np.abs(found - right).max()))
        assert page.locator("#label").text_content() == LABELS[int(right.argmax())]
        unsure.add(page.locator("#unsure").is_visible())
        assert page.locator("#unsure").is_visible() == bool(found.max() < THRESHOLD)
        assert page.locator("#cut").is_visible() == text.startswith("long")
        labels.add(int(right.argmax()))
    print(f"{model}: largest difference of a probability {largest:.1e}")
    assert largest < MODELS[model]
    # The texts tell right from wrong.
    assert len(labels) > 2
    assert unsure == {True, False}
    # Beside the file itself, only what it has unpacked in memory.
    assert [url for url in asked if not url.startswith("blob:")] == [file.as_uri()]
    assert errors == []
    page.fill("#text", " ")
    expect(page.locator("#answer")).to_be_hidden()


def test_hostile_names_stay_text_and_it_fits_a_phone(pages, page: Page):
    page.set_viewport_size({"width": 420, "height": 800})
    page.goto(pages["model.onnx"].as_uri())
    expect(page.locator("body")).to_have_attribute("data-ready", "yes", timeout=WAIT)
    page.fill("#text", "a fine day")
    expect(page.locator("body")).to_have_attribute("data-answered", "a fine day", timeout=WAIT)
    page.locator("summary").click()
    expect(page.locator("#others .row")).to_have_count(len(LABELS) - 10)
    assert page.title() == page.locator("h1").text_content() == ATTACK
    assert page.locator("img").count() == 0
    assert page.locator(".name").all_text_contents().count(ATTACK) == 1
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 420


def test_the_page_may_not_open_a_connection(pages, page: Page):
    page.goto(pages["model.onnx"].as_uri())
    ask = "() => fetch('http://127.0.0.1:9/').then(() => 'asked', (error) => error.message)"
    with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        assert page.evaluate(ask) != "asked"


def test_what_cannot_become_a_page_is_said_before_anything_is_fetched(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(web_runtime, "runtime_files", lambda: pytest.fail("asked the network"))
    parts = json.loads((folder / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(parts | {"model": {"type": "Unigram"}}))
    assert web_page_refusal(tmp_path) == "a tokenizer with the model Unigram"
    with pytest.raises(UserError, match="Unigram"):
        write_web_page(folder / "model.onnx", tmp_path, tmp_path / "page.html", "x")
    monkeypatch.setattr("core.serving.web_page.web_page.LARGEST_MODEL", 1000)
    with pytest.raises(UserError, match="at most"):
        write_web_page(folder / "model.onnx", folder, tmp_path / "page.html", "x")
    assert not (tmp_path / "page.html").exists()

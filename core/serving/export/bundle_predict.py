"""Labels texts with the model that lies beside this file, as `predict.py` of a bundle of Textuner.

    pip install onnxruntime tokenizers numpy
    python predict.py "a text" "another text"
    python predict.py FILE.csv --text COLUMN > labelled.csv
    python predict.py < texts.txt                              # one text a line

Python 3.9 or newer. Texts may come as arguments, as lines, or as a column of a CSV file in UTF-8, whose other
columns stay as they are. `--json` prints one JSON object per text, `--int8` takes the smaller, faster model.
"""

import argparse
import csv
import itertools
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
MODELS = {"fp32": HERE / "onnx" / "model.onnx", "int8": HERE / "onnx" / "model_quantized.onnx"}
BATCH = 32
HALF_PAIR = re.compile("[\ud800-\udfff]")
SLICE = 2048  # Texts read and sorted by length together: memory does not grow with the file.


class Classifier:
    """Model, tokenizer, class names and calibration of the folder that this file lies in."""

    def __init__(self, int8=False):
        wanted = ("int8", "fp32") if int8 else ("fp32", "int8")
        found = [MODELS[name] for name in wanted if MODELS[name].is_file()]
        if not found:
            raise SystemExit(f"No model: neither of {', '.join(map(str, MODELS.values()))} is there.")
        self.session = onnxruntime.InferenceSession(str(found[0]), providers=["CPUExecutionProvider"])
        about = self.session.get_modelmeta().custom_metadata_map
        self.padding_id = int(about["padding_id"])
        self.tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(int(about["max_length"]))
        names = json.loads((HERE / "config.json").read_text(encoding="utf-8"))["id2label"]
        self.names = [names[str(number)] for number in range(len(names))]
        calibration = HERE / "calibration.json"
        found = json.loads(calibration.read_text(encoding="utf-8")) if calibration.is_file() else {}
        self.temperature = found.get("temperature") or 1.0
        self.threshold = found.get("threshold")

    def probabilities(self, texts):
        """float64 [texts, classes], in the order of the texts; longer texts are cut as in training."""
        # Half of a surrogate pair, as odd file names have it, is no text.
        texts = [HALF_PAIR.sub("\ufffd", text) for text in texts]
        tokens = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(tokens)), key=lambda number: -len(tokens[number]))
        logits = np.empty((len(texts), len(self.names)))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            logits[rows] = self._logits([tokens[number] for number in rows])
        logits /= self.temperature
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def answers(self, texts):
        """One dictionary per text, in their order; `unsure` only where the model has a threshold."""
        for row in self.probabilities(texts):
            confidence = float(row.max())
            answer = {"label": self.names[int(row.argmax())], "confidence": round(confidence, 6)}
            if self.threshold is not None:
                answer["unsure"] = confidence < self.threshold
            answer["probabilities"] = dict(zip(self.names, (round(float(p), 6) for p in row)))
            yield answer

    def _logits(self, rows):
        ids = np.full((len(rows), max(map(len, rows))), self.padding_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
            mask[number, : len(row)] = 1
        return self.session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


def label_texts(classifier, texts, as_json):
    for part in slices(texts):
        for text, answer in zip(part, classifier.answers(part)):
            if as_json:
                line = json.dumps({"text": text, **answer}, ensure_ascii=False)
            else:
                unsure = "  (unsure)" if answer.get("unsure") else ""
                line = f"{answer['label']}  {answer['confidence']:.4f}{unsure}  {text}"
            sys.stdout.write(line + "\n")


def label_table(classifier, file, column, delimiter, as_json):
    with open(file, encoding="utf-8-sig", newline="") as source:
        rows = csv.reader(source, delimiter=delimiter)
        header = next(rows, [])
        if column not in header:
            raise SystemExit(f"No column {column!r} in {file}; there are: {', '.join(header)}")
        place = header.index(column)
        added = [free_name(name, header) for name in answer_names(classifier)]
        out = csv.writer(sys.stdout, delimiter=delimiter, lineterminator="\n")
        if not as_json:
            out.writerow(header + added[:-1])
        for part in slices(whole_rows(rows, len(header))):
            for row, answer in zip(part, classifier.answers([row[place] for row in part])):
                if as_json:
                    labelled = {**dict(zip(header, row)), **dict(zip(added, answer.values()))}
                    sys.stdout.write(json.dumps(labelled, ensure_ascii=False) + "\n")
                else:
                    out.writerow(row + list(answer.values())[: len(added) - 1])


def answer_names(classifier):
    """What a table's answers are called: a column `label` of the table may hold the true one."""
    unsure = ["unsure"] * (classifier.threshold is not None)
    return ["predicted_label", "confidence", *unsure, "probabilities"]


def free_name(name, taken):
    numbered = (f"{name}_{number}" for number in itertools.count(2))
    return name if name not in taken else next(other for other in numbered if other not in taken)


def whole_rows(rows, width):
    """Rows of as many cells as the header has; a blank line is no row."""
    for row in rows:
        if row and len(row) != width:
            raise SystemExit(f"Line {rows.line_num}: {len(row)} cells, but the header has {width}.")
        if row:
            yield row


def slices(things):
    things = iter(things)
    return iter(lambda: list(itertools.islice(things, SLICE)), [])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", nargs="*", help="texts; with --text: one CSV file")
    parser.add_argument("--text", metavar="COLUMN", help="the column of the CSV file that holds the texts")
    parser.add_argument("--delimiter", default=",", help="of the CSV file")
    parser.add_argument("--json", action="store_true", help="one JSON object per text")
    parser.add_argument("--int8", action="store_true", help="take the 8-bit model where both are there")
    chosen = parser.parse_args()
    for stream in (sys.stdin, sys.stdout):
        # A real standard stream has it, though the type TextIO does not.
        stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    csv.field_size_limit(2**31 - 1)
    if len(chosen.delimiter) != 1:
        parser.error("--delimiter takes one character")
    if chosen.text is not None and len(chosen.texts) != 1:
        parser.error("--text COLUMN goes with exactly one CSV file")
    classifier = Classifier(chosen.int8)
    try:
        if chosen.text is not None:
            label_table(classifier, chosen.texts[0], chosen.text, chosen.delimiter, chosen.json)
        else:
            lines = (line.rstrip("\r\n") for line in sys.stdin)
            label_texts(classifier, chosen.texts or lines, chosen.json)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has enough, as `head` does; at its end Python would write again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except UnicodeDecodeError as error:
        raise SystemExit(f"{chosen.texts[0]} is not in UTF-8 ({error}). Save it in that encoding.") from None
    except (OSError, csv.Error) as error:
        raise SystemExit(f"{chosen.texts[0] if chosen.texts else 'standard input'}: {error}") from None


if __name__ == "__main__":
    main()

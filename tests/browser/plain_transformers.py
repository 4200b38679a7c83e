"""python plain_transformers.py FOLDER WEIGHTS.pth TEXTS.json: labels texts without any code of this project.

Prints one JSON object: for the folder alone, and for the weights put into a model made from the folder's
configuration, the label of each text and the probabilities of all labels.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer


def main(folder: str, weights: str, texts_file: str) -> None:
    texts = json.loads(Path(texts_file).read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    from_folder = AutoModelForSequenceClassification.from_pretrained(folder)
    from_weights = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(folder))
    from_weights.load_state_dict(torch.load(weights, weights_only=True))
    models = {"folder": from_folder, "weights": from_weights}
    answers = {name: label(model.eval(), tokenizer, texts) for name, model in models.items()}
    print(json.dumps(answers | {"modules": sorted(sys.modules)}))


def label(model, tokenizer, texts):
    batch = tokenizer(texts, truncation=True, padding=True, return_tensors="pt")
    with torch.inference_mode():
        probabilities = model(**batch).logits.softmax(dim=-1)
    names = [model.config.id2label[int(i)] for i in probabilities.argmax(dim=-1)]
    return {"labels": names, "probabilities": probabilities.tolist()}


if __name__ == "__main__":
    main(*sys.argv[1:])

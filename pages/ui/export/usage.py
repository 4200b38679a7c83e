"""Code that goes on with a model that was taken away."""

import streamlit as st

IN_TRANSFORMERS = """import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder = "textuner-model"  # the unpacked zip
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
batch = tokenizer(["A text to label"], truncation=True, padding=True, return_tensors="pt")
with torch.inference_mode():
    probabilities = model(**batch).logits.softmax(dim=-1)[0]
print(model.config.id2label[int(probabilities.argmax())], float(probabilities.max()))
"""
WITHOUT_TORCH = """pip install onnxruntime tokenizers numpy
python predict.py "A text to label"
python predict.py FILE.csv --text COLUMN > labelled.csv
"""
IN_TEXTUNER = """python -m core predict textuner-bundle.zip FILE.csv --text COLUMN --out labelled.csv
"""


def show_use() -> None:
    with st.expander("How to use the files", icon=":material/terminal:"):
        st.caption("The Hugging Face folder, in Python with transformers")
        st.code(IN_TRANSFORMERS, language="python")
        st.caption("The unpacked bundle, without PyTorch")
        st.code(WITHOUT_TORCH, language="bash")
        st.caption("The bundle, in Textuner on another machine")
        st.code(IN_TEXTUNER, language="bash")

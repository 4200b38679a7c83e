"""The script of a bundle that labels texts with onnxruntime, tokenizers and numpy alone."""

from pathlib import Path


def write_predict_script(out: Path) -> None:
    """Write predict.py. It looks beside itself for onnx/model.onnx (or onnx/model_quantized.onnx), config.json,
    tokenizer.json, tokenizer_config.json and calibration.json."""

"""The script of a bundle that labels texts with onnxruntime, tokenizers and numpy alone."""

from pathlib import Path

SCRIPT = Path(__file__).with_name("bundle_predict.py")


def write_predict_script(out: Path) -> None:
    """Write predict.py.

    It looks beside itself for config.json, tokenizer.json, calibration.json (if there is one), and
    onnx/model.onnx or else onnx/model_quantized.onnx.
    """
    out.write_bytes(SCRIPT.read_bytes())

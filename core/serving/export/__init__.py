"""A model as files to take away: weights, ONNX, a bundle, the Hugging Face hub."""

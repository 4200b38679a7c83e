"""Encoders of the BERT family on a CUDA GPU: packed tokens, fused kernels, one graph a step."""

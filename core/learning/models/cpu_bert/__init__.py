"""Encoders of the BERT family on the CPU, forward and backward written out."""

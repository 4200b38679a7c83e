"""Inference over many texts, and the metrics, intervals and calibration of what comes out."""

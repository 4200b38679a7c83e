"""Labelled texts become weights."""

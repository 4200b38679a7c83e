"""Saved data sets, uploaded files and the built-in sample, on disk."""

"""Errors for people, files and locks, memory, how numbers are written: used everywhere. No torch."""

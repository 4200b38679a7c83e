"""Measurements side by side: what they say holds for the machine and the minute, their ratios for longer.

Not part of the test suite: nothing here asserts, and pytest collects none of it.
"""

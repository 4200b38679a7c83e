"""Linear classifiers to compare with, and the learning curve."""

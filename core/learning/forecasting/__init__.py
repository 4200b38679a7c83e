"""Time and memory that a training will take."""

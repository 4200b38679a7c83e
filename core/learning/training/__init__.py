"""The training loop, its checkpoints and its best weights."""

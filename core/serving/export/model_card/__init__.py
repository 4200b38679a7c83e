"""The card that goes with a model."""

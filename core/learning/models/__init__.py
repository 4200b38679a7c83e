"""A model folder becomes a classifier network that is trained and answers: one interface, two implementations."""

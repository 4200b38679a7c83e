"""A model folder becomes a network that is trained and answers: one interface, three implementations."""

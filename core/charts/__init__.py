"""Tables become altair charts, and for each chart the words that say the same."""

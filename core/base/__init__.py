"""What every part of the engine stands on: errors for people, files, locks, memory, how numbers are written. No torch."""

"""A training as a folder and a process: its state, events, queue, worker and engines."""

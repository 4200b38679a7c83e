"""A file becomes labelled texts: reading, choosing columns, finding problems, splitting, keeping."""

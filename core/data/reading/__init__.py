"""The bytes of a file become a Table; the one entry is `files.read_table`."""

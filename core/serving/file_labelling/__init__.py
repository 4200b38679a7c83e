"""A file of any size gets labels."""

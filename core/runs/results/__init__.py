"""What finished runs leave: reports, comparisons, exports; and how old ones are deleted."""

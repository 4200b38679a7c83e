"""Text with delimiters becomes records: encoding, delimiter, quotation marks, header."""

"""A sheet of an Excel workbook (.xlsx) becomes a Table."""

"""A classifier as one HTML file that answers in the browser."""

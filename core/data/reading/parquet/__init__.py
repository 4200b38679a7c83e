"""A Parquet file becomes a Table."""

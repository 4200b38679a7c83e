"""Other work in processes of their own: data checks, labelling of files, forecasts."""

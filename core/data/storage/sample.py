"""The built-in sample: 300 messages to a small town's library, each a question, a complaint or praise.

The texts were written for this project; none is taken from another data set, and the people, places and
events in them are invented. The file is a plain CSV with the columns `text` and `label`, 100 rows per class.
"""

from pathlib import Path

SAMPLE = Path(__file__).with_name("sample.csv")


def read_sample() -> bytes:
    """The sample file as it stands on disk: UTF-8, comma separated, with a header row."""
    return SAMPLE.read_bytes()

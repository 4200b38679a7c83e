"""Tables that a spreadsheet may open: cells that it would take for a formula are made plain text."""

import pandas as pd

_PLAIN_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"


def spreadsheet_safe(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Put an apostrophe before text cells and column names that begin with = + - @ TAB or CR.

    Plain numbers such as -3.5 stay as they are. Source: OWASP, "CSV Injection".

    Returns:
        The table with its columns in the same order, and how many cells and names were changed.
    """
    changed = 0
    columns = {}
    for i in range(frame.shape[1]):
        column = frame.iloc[:, i]
        if not pd.api.types.is_numeric_dtype(column):
            risky = _risky(column.astype(str))
            changed += int(risky.sum())
            column = column.astype(str).mask(risky, "'" + column.astype(str))
        columns[i] = column
    safe = pd.DataFrame(columns, index=frame.index)
    names = pd.Series([str(name) for name in frame.columns], dtype=str)
    risky_names = _risky(names)
    safe.columns = names.mask(risky_names, "'" + names).tolist()
    return safe, changed + int(risky_names.sum())


def csv_text(frame: pd.DataFrame, header: bool = True) -> str:
    """The table as RFC 4180 has it: lines end in CR LF.

    With them Python's writer quotes a cell that holds a lone CR, too; with LF alone it does not, and the row
    falls apart when it is read again.
    """
    return frame.to_csv(index=False, lineterminator="\r\n", header=header)


def safe_csv(frame: pd.DataFrame) -> bytes:
    """The table as CSV for a spreadsheet: no formulas, and the mark at the beginning that says UTF-8."""
    return csv_text(spreadsheet_safe(frame)[0]).encode("utf-8-sig")


def _risky(cells: pd.Series) -> pd.Series:
    return cells.str.match(r"[=+\-@\t\r]") & ~cells.str.fullmatch(_PLAIN_NUMBER)

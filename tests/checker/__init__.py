"""Judges a system by its raw topics and the ledger: shares nothing with the engine but the Avro schema files.

What it knows of states, edges, attempts, the readers' rule and the fold is written here a second time, from the
specification. A mistake in the engine's rules is therefore no mistake here.

`check(raw, ledger, settled=…)` gives the verdict; `await read_raw(bootstrap, prefix)` reads the topics.
"""

from .checking import RULES_CHANGED, check
from .ledger import Ledger, LedgerWriter, read_ledger
from .raw import RawLog, RawPartition, RawRecord
from .reading import ReadingError, read_raw
from .report import Report, Violation

__all__ = [
    "RULES_CHANGED",
    "Ledger",
    "LedgerWriter",
    "RawLog",
    "RawPartition",
    "RawRecord",
    "ReadingError",
    "Report",
    "Violation",
    "check",
    "read_ledger",
    "read_raw",
]

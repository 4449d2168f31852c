"""Judges a system by its raw topics and the ledger: shares nothing with the engine but the Avro schema files.

What it knows of states, edges, attempts, the readers' rule and the fold is written here a second time, from the
specification. A mistake in the engine's rules is therefore no mistake here.
"""

from .ledger import Ledger, LedgerWriter, read_ledger
from .raw import RawLog, RawPartition, RawRecord
from .report import Report, Violation

__all__ = [
    "Ledger",
    "LedgerWriter",
    "RawLog",
    "RawPartition",
    "RawRecord",
    "Report",
    "Violation",
    "read_ledger",
]

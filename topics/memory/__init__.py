"""The log in memory: the port's twin without a broker, with a virtual clock and arranged faults.

`run_virtual(main())` runs a coroutine on a virtual clock; `MemoryLog(cluster)` is one process of a cluster.
"""

from __future__ import annotations

from tasker_kafka.topics.memory.cluster import EPOCH_MS, MemoryCluster
from tasker_kafka.topics.memory.faults import Faults, WriteFault
from tasker_kafka.topics.memory.log import MemoryLog
from tasker_kafka.topics.memory.loop import NothingCanHappen, VirtualTimeLoop, run_virtual

__all__ = [
    "EPOCH_MS",
    "Faults",
    "MemoryCluster",
    "MemoryLog",
    "NothingCanHappen",
    "VirtualTimeLoop",
    "WriteFault",
    "run_virtual",
]

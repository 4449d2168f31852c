"""Gives partition p of every topic to one member: for groups that read several topics as one.

The driver's own assignors spread partitions over members topic by topic or one by one. A subscriber's group needs its
sources and its retry topics together: who delivers a key must know what of that key waits to be delivered again.

Every member must compute the same from the same list, so nothing but the members' ids and the partition counts counts.
Where members read different topics (during a change of release) a partition whose place is a member that does not
read its topic stays without a reader, rather than away from its like.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

__all__ = ["CoPartitionedAssignor"]

_VERSION: Final = 0


class CoPartitionedAssignor(AbstractPartitionAssignor):
    """Member number p modulo the members' count, in the order of their ids, has partition p of all its topics."""

    # The driver reads it of the class, as its own assignors give it, though their base declares a property.
    name = "tasker-co-partitioned"  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType] - as above

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """The assignment of every member."""
        found = {}
        for place, member_id in enumerate(sorted(members)):
            given = []
            for topic in sorted(set(members[member_id].subscription)):
                partitions = cluster.partitions_for_topic(topic) or set()
                own = sorted(each for each in partitions if each % len(members) == place)
                if own:
                    given.append((topic, own))
            found[member_id] = ConsumerProtocolMemberAssignment(_VERSION, given, b"")
        return found

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What a member says when it joins: its topics."""
        return ConsumerProtocolMemberMetadata(_VERSION, list(topics), b"")

    @classmethod
    def on_assignment(cls, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Nothing is kept from one assignment to the next."""

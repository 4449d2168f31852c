"""The partitioner agrees with the Java client, whose own test vectors these are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_kafka.topics.partitioner import murmur2, partition_for

# org.apache.kafka.common.utils.UtilsTest.testMurmur2 (signed there).
JAVA_VECTORS = [
    (b"21", -973932308),
    (b"foobar", -790332482),
    (b"a-little-bit-long-string", -985981536),
    (b"a-little-bit-longer-string", -1486304829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    (b"abc", 479470107),
]


@pytest.mark.parametrize(("data", "expected"), JAVA_VECTORS)
def test_murmur2_agrees_with_java(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected & 0xFFFFFFFF


def test_empty_key_has_a_hash() -> None:
    assert murmur2(b"") == 275646681


@given(st.binary(max_size=64), st.integers(1, 200))
def test_partition_is_one_of_the_topic(key: bytes, partitions: int) -> None:
    assert 0 <= partition_for(key, partitions) < partitions


def test_sign_bit_is_dropped_not_negated() -> None:
    """Java's toPositive: `& 0x7fffffff`, so -973932308 goes where 1173551340 goes."""
    assert partition_for(b"21", 1000) == 340

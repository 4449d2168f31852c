"""One Kafka API round trip over a plain socket: is the broker ready, and who is in its cluster?

A client library would answer this too, but in its own time (bootstrap back-off); a start is timed here to tens of ms.
"""

from __future__ import annotations

import random
import socket
import struct

__all__ = ["answering_nodes", "free_port", "is_free"]

METADATA, METADATA_VERSION = 3, 1
# Below the ranges that kernels hand out for outgoing connections, so that a port stays ours while a broker is down.
PORT_RANGE = range(20_000, 32_000)


def answering_nodes(host: str, port: int, *, timeout_seconds: float = 2.0) -> frozenset[int]:
    """The node ids that the broker at `host:port` lists as alive; empty where it does not answer (yet)."""
    # api key, version, correlation id, null client id, no topics
    body = struct.pack(">hhihi", METADATA, METADATA_VERSION, 1, -1, 0)
    try:
        with socket.create_connection((host, port), timeout=timeout_seconds) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            (size,) = struct.unpack(">i", read_exactly(connection, 4))
            return parse_nodes(read_exactly(connection, size))
    except (OSError, struct.error):
        return frozenset()


def read_exactly(connection: socket.socket, size: int) -> bytes:
    """`size` bytes, or OSError when the peer closes before."""
    chunks = bytearray()
    while len(chunks) < size:
        chunk = connection.recv(size - len(chunks))
        if not chunk:
            raise ConnectionError("closed by the broker")
        chunks += chunk
    return bytes(chunks)


def parse_nodes(answer: bytes) -> frozenset[int]:
    """The node ids of a metadata answer of version 1."""
    _, count = struct.unpack_from(">ii", answer)
    position, nodes = 8, set[int]()
    for _ in range(count):
        node, host_size = struct.unpack_from(">ih", answer, position)
        (rack_size,) = struct.unpack_from(">h", answer, position + 6 + host_size + 4)
        position += 6 + host_size + 4 + 2 + max(rack_size, 0)
        nodes.add(node)
    return frozenset(nodes)


def free_port() -> int:
    """A loopback port that nobody listens on now; another process may still take it before it is used."""
    for port in random.sample(PORT_RANGE, 200):
        if is_free(port):
            return port
    raise OSError(f"no free port between {PORT_RANGE.start} and {PORT_RANGE.stop}")


def is_free(port: int) -> bool:
    """Whether a server may bind the loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True

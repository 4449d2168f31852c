"""Turns an Avro record schema and the Python types of its records into two plain functions.

An engine encodes and decodes millions of records, and the way over dictionaries that Avro libraries take costs
twice: once for the dictionary, once for the record. So a function is written out as Python text for each
schema, with every nested record in place, and compiled once. It writes and reads plain Avro binary; a property
test holds it to fastavro byte by byte.

What is read comes from strangers: every length is checked before it is used, integers must fit their type,
booleans and symbols must exist, text must be UTF-8, and nothing may be left over.

Supported are the shapes our schemas use: boolean, int, long, string, bytes, fixed, enum, array, record, and
unions of null, bytes and records. A record of which the Python type is `tuple` stands for a plain tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .avro_reading import ReaderText
from .avro_text import ByField, PythonType, Schema
from .avro_writing import WriterText

__all__ = ["ByField", "PythonType", "Schema", "compile_reader", "compile_writer"]


def compile_writer(schema: Schema, types: Mapping[str, PythonType], prefix: bytes) -> Callable[[Any], bytes]:
    """A function from a value to `prefix` and the value's Avro bytes.

    It raises TypeError, AttributeError, KeyError or ValueError for a value that is not of the schema.
    """
    text = WriterText(types)
    text.begin("parts_of(x):")
    text.gather(repr(prefix))
    text.value(schema, "x")
    text.end()
    text.define("def write(x): return join(parts_of(x))")
    return text.run("write")  # type: ignore[no-any-return]  # made from text


def compile_reader(
    schema: Schema, types: Mapping[str, PythonType], *, whole: bool = True
) -> Callable[[bytes, int], Any]:
    """A function from data and the place where the value begins to the value.

    `whole`: nothing may follow. It raises ValueError, IndexError or KeyError for data that is not of the schema.
    """
    text = ReaderText(types)
    text.begin("read(d, i):")
    value = text.value(schema)
    text.put(
        f"if i {'!=' if whole else '>'} len(d): raise ValueError(f'{{i}} bytes expected, {{len(d)}} found')"
    )
    text.put(f"return {value}")
    text.end()
    return text.run("read")  # type: ignore[no-any-return]  # made from text

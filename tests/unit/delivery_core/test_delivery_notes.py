"""Notes about deliveries beside a committed offset: readable for older members, and in bounds."""

from __future__ import annotations

import base64

from tasker_kafka.handlers.watermark import Restored, Watermark, decode_metadata


def test_a_member_of_an_older_release_reads_what_a_newer_one_commits() -> None:
    """It knows one flag; what it does not know it must not take for something else."""
    mark = Watermark(10)
    mark.extend([10, 11, 12], 13)
    mark.finish(11)
    mark.note_delivery(12, 3 + 2 * 4_095 + 1)
    text = mark.metadata(is_open=False, reach=0, is_shaken=True)
    assert text is not None
    numbers = base64.b64decode(text[1:])
    assert not numbers[0] & 1
    restored = decode_metadata(10, text)
    assert restored == Restored(False, 10, ((11, 12),), ((12, 8_194),), is_shaken=True)
    assert decode_metadata(10, "1AAAA") == Restored(False, 10)


def test_a_note_for_a_record_that_is_gone_from_the_log_is_left_out() -> None:
    mark = Watermark(10, Restored(deliveries=((11, 2), (20, 2))))
    mark.extend([15, 20], 21)
    text = mark.metadata(is_open=True, reach=0)
    assert text is not None
    restored = decode_metadata(15, text)
    assert restored is not None
    assert restored.deliveries == ((20, 2),)

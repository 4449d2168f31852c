"""Reading what the kernel says of a process."""

from __future__ import annotations

import os
import time

from tests.bench.machine import cpu_seconds, cpu_seconds_in, machine, since, versions, waited_seconds_in

STAT = "4242 (a (strange) name) S 1 4242 4242 0 -1 4194304 900 0 0 0 250 50 7 7 20 0 12 0 9 1 2"


def test_user_and_system_time_are_added_whatever_the_name_holds() -> None:
    assert cpu_seconds_in(STAT, ticks=100) == 3.0


def test_own_cpu_time_moves_on_as_work_is_done() -> None:
    before, until = cpu_seconds(os.getpid()), time.process_time() + 0.05
    while time.process_time() < until:
        pass
    assert cpu_seconds(os.getpid()) > before


def test_waiting_for_a_processor_is_the_second_number_in_nanoseconds() -> None:
    assert waited_seconds_in("7000000000 2500000000 12\n") == 2.5


def test_a_process_that_has_ended_meanwhile_has_no_difference() -> None:
    assert since({"worker": 1.0, "broker": 2.0}, {"broker": 2.5}) == {"broker": 0.5}


def test_the_header_names_machine_and_versions() -> None:
    assert {"processor", "memory", "load average"} <= set(machine())
    assert versions()["aiokafka"] != "–"

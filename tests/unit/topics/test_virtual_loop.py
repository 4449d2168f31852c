"""The virtual clock jumps over waits, follows real work, and says when nothing can happen."""

import asyncio
import threading
import time

import pytest

from tasker_kafka.topics.memory.loop import NothingCanHappen, VirtualTimeLoop, run_virtual

DAY = 86_400.0


def loop_time() -> float:
    return asyncio.get_running_loop().time()


def test_a_day_of_sleep_takes_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(7 * DAY + 0.25)
        return loop_time()

    began = time.monotonic()
    assert run_virtual(main()) == pytest.approx(7 * DAY + 0.25)
    assert time.monotonic() - began < 60


def test_timers_fire_in_order_at_their_times() -> None:
    async def main() -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []

        async def mark(name: str, delay: float) -> None:
            await asyncio.sleep(delay)
            seen.append((name, round(loop_time(), 6)))

        await asyncio.gather(mark("c", 3.0), mark("a", 1.0), mark("b", 2.0), mark("a again", 1.0))
        return seen

    expected = [("a", 1.0), ("a again", 1.0), ("b", 2.0), ("c", 3.0)]
    assert run_virtual(main()) == expected
    assert run_virtual(main()) == expected


def test_wait_for_times_out_virtually() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 3600)
        return loop_time()

    assert run_virtual(main()) == pytest.approx(3600)


def test_a_timer_does_not_overtake_a_job_in_a_thread() -> None:
    release = threading.Event()

    async def main() -> list[str]:
        seen: list[str] = []

        async def job() -> None:
            await asyncio.to_thread(release.wait)
            seen.append("job")

        async def timer() -> None:
            await asyncio.sleep(DAY)
            seen.append("timer")

        waiting = asyncio.create_task(timer())
        asyncio.get_running_loop().call_later(0.01, release.set)
        await job()
        await waiting
        return seen

    assert run_virtual(main()) == ["job", "timer"]


def test_sockets_are_real_work() -> None:
    async def main() -> tuple[bytes, float]:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello")
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        text = await reader.read()
        writer.close()
        server.close()
        await server.wait_closed()
        return text, loop_time()

    text, elapsed = run_virtual(main())
    assert text == b"hello"
    assert elapsed < 60


def test_external_work_wakes_the_loop() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        answer: asyncio.Future[str] = loop.create_future()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(answer.set_result, "woken"))
        with loop.external():
            thread.start()
            text = await answer
        thread.join()
        return text

    assert run_virtual(main()) == "woken"


def test_a_deadlock_is_an_error_not_a_hang() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(NothingCanHappen, match="deadlock"):
        run_virtual(main())

"""Step handlers of the tests that run real worker processes: `tasker worker -m tests.support.step_handlers`."""

from tasker_kafka.handlers import StepContext, step_handler


@step_handler("test.noop")
async def noop() -> dict[str, bool]:
    """Nothing."""
    return {"ok": True}


@step_handler("test.flaky")
async def flaky(context: StepContext) -> dict[str, int]:
    """Fails as often as the step's configuration says."""
    if context.attempt <= int(context.config.get("fail_times", 1)):
        raise RuntimeError(f"attempt {context.attempt} fails as told")
    return {"attempt": context.attempt}

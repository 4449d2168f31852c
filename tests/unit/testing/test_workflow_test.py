"""The test kit for users' workflows: what it runs, what it injects, what it says when a test is wrong."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from tasker_kafka.handlers import HandlerRegistry, PermanentError, StepContext, StepHandler, failure
from tasker_kafka.handlers.testing import WorkflowTest, always, fail_times
from tasker_kafka.schemas.errors import ConfigurationError, FencedError, RequestRejected, WaitTimeout
from tasker_kafka.schemas.template import Event, Lifecycle, Retry, Template
from tasker_kafka.schemas.words import StepStatus, TaskStatus

from . import shop_steps

FOLDER = Path(__file__).parent
SHOP = FOLDER / "shop.yaml"


def shop() -> WorkflowTest:
    """The shop, in memory."""
    return WorkflowTest(templates=[SHOP], handlers=[shop_steps])


def test_a_workflow_runs_from_its_files() -> None:
    with shop() as workflow:
        result = workflow.run("shop", {"items": 3})
    assert result.assert_complete().output == {"ship": "shipped, charged 30"}
    assert result.finished_steps == ("validate_cart", "charge_card", "ship")


@pytest.mark.parametrize(
    "handlers",
    [
        [shop_steps.__name__],
        [HandlerRegistry(shop_steps.validate_cart, shop_steps.charge_card, shop_steps.ship)],
        [shop_steps.validate_cart, shop_steps.charge_card, shop_steps.ship],
    ],
    ids=["module name", "registry", "functions"],
)
def test_handlers_are_found_wherever_they_are(handlers: list[Any]) -> None:
    with WorkflowTest([FOLDER], handlers) as workflow:
        workflow.run("shop", {"items": 1}).assert_complete()


async def test_it_works_inside_a_running_loop() -> None:
    with shop() as workflow:
        workflow.run("shop", {"items": 1}).assert_complete()
        result = await asyncio.to_thread(workflow.run, "shop", {"items": 2})
    assert result.output == {"ship": "shipped, charged 20"}


def test_handlers_run_where_they_would_in_production() -> None:
    seen: dict[str, threading.Thread] = {}

    def plain() -> None:
        seen["plain"] = threading.current_thread()

    async def on_loop() -> None:
        seen["async"] = threading.current_thread()

    template = Template("kinds").step("a", handler="kinds.plain").step("b", handler="kinds.async")
    with WorkflowTest(strict=False) as workflow:
        workflow.replace("kinds.plain", plain)
        workflow.replace("kinds.async", on_loop)
        workflow.add(template)
        workflow.run(template).assert_complete()
    assert seen["async"] is threading.current_thread()
    assert seen["plain"] is not threading.current_thread()


# ------------------------------------------------------------------------------------------- failures


def test_failures_are_injected_before_the_handler_begins() -> None:
    with shop() as workflow:
        workflow.fail("charge_card", times=2)
        result = workflow.run("shop", {"items": 1}).assert_complete()
        assert [call.attempt for call in workflow.handled("charge_card")] == [1, 2, 3]
    attempts = result.steps["charge_card"].attempts
    assert [str(attempt) for attempt in attempts[:1]] == [
        "#1 retryable_error: the test lets step charge_card fail"
    ]
    assert attempts[2].failure is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermanentError("stolen", code="stolen"), "stolen"),
        (PermanentError, "permanent_error"),
        (failure("no", error_code="no_stock", retryable=False), "no_stock"),
    ],
)
def test_any_error_can_be_injected(error: Any, code: str) -> None:
    with shop() as workflow:
        workflow.fail("validate_cart", error=error)
        result = workflow.run("shop", {"items": 1}).assert_state("error")
    assert result.errors["validate_cart"].code == code


def test_an_injected_failure_can_be_lasting_and_taken_back() -> None:
    with shop() as workflow:
        workflow.fail("ship", times=None)
        task = workflow.submit("shop", {"items": 1})
        assert len(task.wait().assert_state(TaskStatus.ERROR).steps["ship"].attempts) == 3
        workflow.fail("ship", times=0)
        task.retry()
        task.wait().assert_complete()


def test_a_handler_that_fails_at_first_counts_per_task() -> None:
    template = Template("flaky").step("one", handler="flaky.one", retry=Retry(backoff="none"))
    with WorkflowTest(strict=False) as workflow:
        workflow.replace("flaky.one", fail_times(1, then="up"))
        workflow.add(template)
        for _ in range(2):
            result = workflow.run(template).assert_complete()
            assert len(result.steps["one"].attempts) == 2


# ---------------------------------------------------------------------------------------- replacement


class Stamp(StepHandler):
    """A handler as a class."""

    name = "other.stamp"

    async def call(self, context: StepContext) -> str:
        """Which step it is."""
        return f"stamped {context.step}"


async def _fake(context: StepContext) -> str:
    return f"fake {context.step}"


@pytest.mark.parametrize("step", ["validate_cart", "charge_card"])
@pytest.mark.parametrize(
    ("fake", "result"),
    [
        (lambda: "plain", "plain"),
        (_fake, "fake {step}"),
        (always({"a": 1}), {"a": 1}),
        (Stamp, "stamped {step}"),
    ],
    ids=["plain", "async", "always", "class"],
)
def test_handlers_are_replaced_also_after_they_ran(step: str, fake: Any, result: Any) -> None:
    expected = result.format(step=step) if isinstance(result, str) else result
    with shop() as workflow:
        workflow.replace("shop.ship", always())
        if step == "validate_cart":
            workflow.replace("shop.charge_card", always())
        workflow.run("shop", {"items": 1}).assert_complete()
        workflow.replace(f"shop.{step}", fake)
        assert workflow.run("shop", {"items": 1}).assert_complete().steps[step].result == expected


def test_replacing_leaves_the_function_as_it_was() -> None:
    with shop() as workflow:
        workflow.replace("shop.ship", _fake)
    assert not [name for name in vars(_fake) if "tasker" in name]


def test_calls_show_what_the_handler_was_given() -> None:
    with shop() as workflow:
        result = workflow.run("shop", {"items": 2}, correlation_id="story")
        (call,) = workflow.handled("charge_card")
        assert len(workflow.handled()) == 3
    assert (call.task_id, call.step, call.attempt, call.handler) == (
        result.task_id,
        "charge_card",
        1,
        "shop.charge_card",
    )
    assert (call.context, call.inputs, call.correlation_id) == (
        {"items": 2},
        {"validate_cart": {"total": 20}},
        "story",
    )


# ------------------------------------------------------------------------------------------------ time


@pytest.mark.slow
def test_nothing_happens_between_calls_and_days_pass_at_once() -> None:
    lifecycle = Lifecycle(max_duration_seconds=3 * 24 * 3600, on_blocked="wait")
    template = Template("slow", lifecycle=lifecycle).step(
        "one", handler="slow.one", retry=Retry(max_attempts=1)
    )
    with WorkflowTest(strict=False) as workflow:
        workflow.replace("slow.one", always(PermanentError("no")))
        workflow.add(template)
        task = workflow.submit(template)
        assert workflow.handled() == []
        began = workflow.now_ms
        assert task.advance(2 * 24 * 3600).state is TaskStatus.BLOCKED_BY_FAILURES
        assert workflow.now_ms - began == 2 * 24 * 3_600_000
        assert task.advance(26 * 3600).state is TaskStatus.ERROR


def test_timers_are_timely_however_long_nothing_has_happened() -> None:
    template = Template("quick").step("one", handler="quick.one", retry=Retry(jitter=0.0))
    with WorkflowTest(strict=False) as workflow:
        workflow.replace("quick.one", fail_times(1))
        workflow.add(template)
        workflow.advance(24 * 3600)
        began = workflow.now_ms
        workflow.run(template).assert_complete()
        assert 2_000 <= workflow.now_ms - began <= 2_100


@pytest.mark.slow
def test_a_handler_that_hangs_does_not_keep_the_test() -> None:
    gone = threading.Event()
    template = Template("hung").step("one", handler="hung.one")
    with WorkflowTest(strict=False) as workflow:
        workflow.replace("hung.one", gone.wait)
        workflow.add(template)
        workflow.submit(template)
        workflow.wait_until(lambda: bool(workflow.handled("one")))
    gone.set()


def test_a_task_that_does_not_end_is_told_with_its_story() -> None:
    template = Template("stuck", lifecycle=Lifecycle(on_blocked="wait")).step(
        "one", handler="stuck.one", retry=Retry(max_attempts=1)
    )
    with WorkflowTest(strict=False) as workflow:
        workflow.replace("stuck.one", always(PermanentError("card stolen", code="stolen")))
        workflow.add(template)
        with pytest.raises(
            WaitTimeout, match=r"blocked_by_failures\n(.*\n)*  one +error +#1 stolen: card stolen"
        ):
            workflow.run(template, timeout=60)
        with pytest.raises(WaitTimeout, match="not complete"):
            workflow.submit(template).wait_until("complete", timeout=5)
        with pytest.raises(WaitTimeout, match="the moon"):
            workflow.wait_until(lambda: False, timeout=5, what="the moon")


def test_a_question_is_asked_only_about_a_task_that_exists() -> None:
    with shop() as workflow:
        task = workflow.submit("shop", {"items": 1})
        task.wait_until(lambda seen: seen.steps["ship"].state is StepStatus.COMPLETE)
        refused = workflow.submit("shop", {"items": 1}, bypass_steps=("shipp",))
        with pytest.raises(RequestRejected, match="ship"):
            refused.wait_until("complete")


def test_an_assertion_about_a_task_tells_why_it_failed() -> None:
    with shop() as workflow:
        result = workflow.run("shop", {"items": "none"})
    with pytest.raises(AssertionError) as caught:
        result.assert_complete()
    text = str(caught.value)
    assert "the task is error, not complete" in text
    assert "During handling" not in text
    assert "invalid literal for int() with base 10: 'none'" in text
    assert 'return {"total": 10 * int(' in text
    assert result.steps["ship"].state is StepStatus.PENDING


# --------------------------------------------------------------------------------------- wrong tests


def test_missing_handlers_are_named_with_the_nearest() -> None:
    template = Template("typo").step("pay", handler="shop.charge_cart")
    with pytest.raises(ConfigurationError, match=r"step pay.*shop\.charge_cart.*shop\.charge_card") as caught:
        WorkflowTest([template], [shop_steps]).__enter__()
    assert "strict=False" in str(caught.value)


def test_a_handler_that_does_not_fit_its_step_is_named() -> None:
    template = Template("misfit").step("pay", handler="shop.charge_card")
    with pytest.raises(ConfigurationError, match="validate_cart"):
        WorkflowTest([template], [shop_steps]).__enter__()


def test_it_must_be_entered_and_only_once() -> None:
    workflow = shop()
    with pytest.raises(ConfigurationError, match="with WorkflowTest"):
        workflow.run("shop")
    with workflow:
        with pytest.raises(ConfigurationError, match="already"):
            workflow.__enter__()
        workflow.run("shop", {"items": 1}).assert_complete()
    with pytest.raises(ConfigurationError, match="not entered"):
        workflow.advance(1)


def test_an_empty_folder_is_no_source_of_templates(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no template file"):
        WorkflowTest([tmp_path])


def test_what_ends_the_orchestrator_ends_the_test() -> None:
    with shop() as workflow:
        system = workflow._ground.system
        rival = system.log.transactional(system.names.engine_writer(0))
        workflow._ground.run(rival.start())
        workflow.submit("shop", {"items": 1})
        with pytest.raises(FencedError, match="a newer owner has taken over"):
            workflow.advance(60)


def test_one_can_be_entered_again_and_two_do_not_meet() -> None:
    workflow = shop()
    with workflow:
        task_id = workflow.run("shop", {"items": 1}).task_id
    with workflow, shop() as other:
        assert workflow.run("shop", {"items": 1}).task_id != task_id
        assert other.handled() == []


@pytest.mark.parametrize("environment", ["staging", None])
def test_events_name_the_environment_of_the_test(environment: str | None, tmp_path: Path) -> None:
    charged = Event("payment.charged", delivery="durable")
    template = Template("pay").step("charge", handler="pay.charge", publishes_events=[charged])
    path = tmp_path / "ship.yaml"
    step = "{name: pack, handler: {callable: ship.pack}, publishes_events: [{name: parcel.packed}]}"
    path.write_text(f"name: ship\nsteps: [{step}]\n")
    with WorkflowTest([template, path], strict=False, environment=environment) as workflow:
        workflow.replace("pay.charge", always({}))
        workflow.replace("ship.pack", always({}))
        workflow.run("pay").assert_complete()
        workflow.run("ship").assert_complete()
        workflow.events.settle()
        found = [event.metadata.environment for event in workflow.events.published()]
    assert found == [environment or ""] * 2

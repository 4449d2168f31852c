"""Fix and go on, in the browser, over real Kafka: each command resumes the task by itself and is audited."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Page, expect

from tests.support.browser_steps import confirm, tab_to
from tests.support.browser_system import ConsoleSystem

ACTOR = "console"


async def open_failed(page: Page, system: ConsoleSystem) -> str:
    """A task whose card was declined for good, and its page with the failed step open."""
    system.switch("funds", is_on=False)
    task_id = await system.request("declined")
    await system.wait_state(task_id, ["error"])
    await page.goto(f"/console/tasks/{task_id}")
    await page.get_by_role("link", name="Step charge_card: error").click()
    await expect(page.get_by_role("heading", name="charge_card")).to_be_focused()
    return task_id


async def audits(system: ConsoleSystem, task_id: str) -> list[dict[str, Any]]:
    """The task's transitions that an operator caused."""
    found = await system.api(f"/tasks/{task_id}/transitions")
    return [each for each in found["transitions"] if each["actor"] is not None]


async def expect_audited(system: ConsoleSystem, task_id: str, event: str, reason: str) -> None:
    every = await audits(system, task_id)
    assert {(each["actor"], each["reason"]) for each in every if each["event"] == event} == {(ACTOR, reason)}


async def test_a_failed_task_is_retried_from_its_failed_step(page: Page, system: ConsoleSystem) -> None:
    task_id = await open_failed(page, system)
    before = (await system.api(f"/tasks/{task_id}"))["task"]
    system.switch("funds")
    await page.get_by_role("button", name="Retry", exact=True).click()
    await confirm(page, "Retry the task", "the account was topped up")
    await expect(page.get_by_role("link", name="Step ship: complete")).to_be_visible()
    await expect(page.locator("h1 + .chip")).to_contain_text("complete")
    after = await system.wait_state(task_id, ["complete"])
    attempts = {step["name"]: step["attempts"] for step in after["steps"]}
    assert attempts == {"check_cart": 1, "charge_card": 2, "ship": 1}, "what was done is not done again"
    assert after["life"] == before["life"]
    await expect_audited(system, task_id, "retry_requested", "the account was topped up")


async def test_a_step_is_resolved_by_hand_and_the_task_resumes(page: Page, system: ConsoleSystem) -> None:
    task_id = await open_failed(page, system)
    await page.get_by_role("button", name="Resolve step").click()
    await confirm(page, "Resolve the step by hand", "paid in cash")
    await expect(page.get_by_role("link", name="Step charge_card: resolved manually")).to_be_visible()
    await expect(page.get_by_role("link", name="Step ship: complete")).to_be_visible()
    await system.wait_state(task_id, ["complete"])
    await expect_audited(system, task_id, "resolved_manually", "paid in cash")


async def test_a_step_is_completed_with_an_operators_result(page: Page, system: ConsoleSystem) -> None:
    task_id = await open_failed(page, system)
    await page.get_by_role("button", name="Complete…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("textbox", name="Result").fill('{"charge_id": ')
    await expect(dialog).to_contain_text("no JSON")
    await dialog.get_by_label("Reason").fill("charged by phone")
    verb = "Complete the step"
    await dialog.get_by_role("button", name=verb).click()
    await expect(dialog.locator(".alert").filter(has_text="line 1, column 15")).to_be_visible()
    await dialog.get_by_role("textbox", name="Result").fill(
        '{"charge_id": "by-phone", "note": "<b>paid</b>"}'
    )
    await confirm(page, verb, "charged by phone")
    task = await system.wait_state(task_id, ["complete"])
    step = next(each for each in task["steps"] if each["name"] == "charge_card")
    assert step["result"] == {"charge_id": "by-phone", "note": "<b>paid</b>"}
    await expect(page.get_by_role("region", name="Result")).to_contain_text('"note": "<b>paid</b>"')
    await expect_audited(system, task_id, "completed_manually", "charged by phone")


async def test_a_running_task_is_cancelled_by_the_keyboard_alone(page: Page, system: ConsoleSystem) -> None:
    system.switch("release", is_on=False)
    task_id = await system.request("running")
    await page.goto(f"/console/tasks/{task_id}")
    await expect(page.get_by_role("link", name="Step charge_card: in progress")).to_be_visible()
    button = page.get_by_role("button", name="Cancel task")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to")).to_be_focused()
    await tab_to(page, button)
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Reason")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_role("alert").filter(has_text="Say why")).to_be_visible()
    await page.keyboard.type("customer left")
    await page.keyboard.press("Enter")
    await expect(dialog.locator(".alert.tone-done")).to_be_visible()
    await expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()
    await expect(button).to_be_focused()
    await system.wait_state(task_id, ["cancelled"])
    await expect(button).to_have_attribute("aria-disabled", "true")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("nothing may be done to it any more")).to_be_visible()
    await expect(dialog).to_be_hidden()
    await expect_audited(system, task_id, "cancelled", "customer left")


async def test_a_blocked_task_is_resolved(page: Page, system: ConsoleSystem) -> None:
    task_id = await open_failed(page, system)
    await page.get_by_role("button", name="Resolve", exact=True).click()
    await confirm(page, "Resolve the task by hand", "written off")
    await system.wait_state(task_id, ["resolved_manually"])
    await expect(page.locator("h1 + .chip")).to_contain_text("resolved manually")
    await expect_audited(system, task_id, "resolved_manually", "written off")


async def test_reason_tags_and_attempts_are_changed(page: Page, system: ConsoleSystem) -> None:
    task_id = await system.request("retrying")
    await system.wait_state(task_id, ["waiting_for_retry"])
    await page.goto(f"/console/tasks/{task_id}?step=charge_card")
    await page.get_by_role("button", name="Set reason").click()
    await page.get_by_role("textbox", name="The task's reason").fill("<i>asked twice</i>")
    await confirm(page, "Change the task's reason", "clearer")
    await page.get_by_role("button", name="Set tags").click()
    await page.get_by_role("textbox", name="Tags").fill("vip, <u>eu</u>")
    await confirm(page, "Change the task's tags", "for the list")
    await page.get_by_role("button", name="Set attempts").click()
    await page.get_by_role("spinbutton", name="Attempts").fill("5")
    await confirm(page, "Change the step's number of attempts", "enough")
    task = (await system.api(f"/tasks/{task_id}"))["task"]
    assert task["reason"] == "<i>asked twice</i>"
    assert task["tags"] == ["vip", "<u>eu</u>"]
    assert next(each for each in task["steps"] if each["name"] == "charge_card")["max_attempts"] == 5
    await expect(page.get_by_text("<i>asked twice</i>")).to_be_visible()


async def test_a_cancelled_step_stops_its_children_and_is_retried(page: Page, system: ConsoleSystem) -> None:
    task_id = await system.request("retrying")
    await system.wait_state(task_id, ["waiting_for_retry"])
    await page.goto(f"/console/tasks/{task_id}?step=charge_card")
    await page.get_by_role("button", name="Cancel step").click()
    await confirm(page, "Cancel the step", "not today")
    await system.wait_state(task_id, ["error", "blocked_by_failures"])
    await expect(page.get_by_role("link", name="Step charge_card: cancelled")).to_be_visible()
    await page.get_by_role("button", name="Retry step").click()
    await confirm(page, "Retry the step", "today after all")
    await system.wait_state(task_id, ["waiting_for_retry"])
    await expect(page.get_by_role("link", name="Step charge_card: waiting for retry")).to_be_visible()


async def test_pressing_twice_sends_one_command(page: Page, system: ConsoleSystem) -> None:
    task_id = await open_failed(page, system)
    await page.get_by_role("button", name="Retry step").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Reason").fill("again")
    await dialog.get_by_role("button", name="Retry the step").dblclick()
    await expect(dialog.locator(".alert.tone-done")).to_be_visible()
    await dialog.get_by_role("button", name="Close").click()
    await system.wait_state(task_id, ["error"])
    await page.get_by_role("link", name="Transitions").click()
    answers = page.get_by_role("region", name="Answers to commands").locator("tbody tr")
    await expect(answers).to_have_count(1)
    retried = [each for each in await audits(system, task_id) if each["entity"] == "step:charge_card"]
    assert len(retried) == 1

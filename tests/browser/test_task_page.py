"""The page of a task: live, usable by the keyboard alone, with a thousand steps, on a phone, and through outages."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from tests.support.browser import Visit
from tests.support.browser_steps import fits, tab_to
from tests.support.browser_system import CONSOLE, ConsoleSystem
from tests.support.browser_work import SECRET, WIDE_STEPS

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"


async def test_the_graph_moves_with_the_task(page: Page, system: ConsoleSystem) -> None:
    system.switch("release", is_on=False)
    task_id = await system.request("running")
    await page.goto(f"/console/tasks/{task_id}")
    await expect(page.get_by_role("link", name="Step charge_card: in progress")).to_be_visible()
    await expect(page.get_by_role("link", name="Step ship: pending")).to_be_visible()
    await page.evaluate("document.querySelector('svg.dag').dataset.same = 'yes'")
    system.switch("release")
    await expect(page.get_by_role("link", name="Step ship: complete")).to_be_visible()
    await expect(page.locator("h1 + .chip")).to_contain_text("complete")
    # The drawing is the one that was there: only its nodes were replaced.
    await expect(page.locator("svg.dag[data-same=yes]")).to_be_visible()


async def test_a_step_is_opened_and_closed_by_the_keyboard(page: Page, system: ConsoleSystem) -> None:
    task_id = await system.request("retrying")
    await system.wait_state(task_id, ["waiting_for_retry"])
    await page.goto(f"/console/tasks/{task_id}")
    node = page.get_by_role("link", name="Step charge_card: waiting for retry")
    await tab_to(page, node)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="charge_card")).to_be_focused()
    panel = page.get_by_role("region", name="Step charge_card")
    await expect(panel).to_contain_text("gateway busy")
    await expect(panel.get_by_role("region", name="Attempts of charge_card")).to_contain_text("failure")
    await panel.get_by_text("Readiness").click()
    await expect(panel).to_contain_text("backoff type")
    await expect(panel).to_contain_text("all satisfied")
    await panel.get_by_text("Traceback").first.click()
    await expect(panel.get_by_role("region", name="Traceback")).to_contain_text("ConnectionError")
    await tab_to(page, panel.get_by_role("button", name="Close"))
    await page.keyboard.press("Enter")
    await expect(panel).to_be_hidden()
    await expect(node).to_be_focused()


async def test_every_view_says_what_happened(page: Page, system: ConsoleSystem) -> None:
    task_id = await system.request("order", {"number": 41, "password": SECRET})
    await system.wait_state(task_id, ["complete"])
    await page.goto(f"/console/tasks/{task_id}")
    views = page.get_by_role("navigation", name="Views of the task")
    await views.get_by_role("link", name="Steps").click()
    await expect(page.get_by_role("region", name="Steps").get_by_role("row")).to_have_count(6)
    await views.get_by_role("link", name="Timeline").click()
    await expect(page.get_by_role("img", name="Attempts over time")).to_be_visible()
    attempts = page.get_by_role("region", name="Attempts in the order of their grants")
    await expect(attempts.get_by_role("row")).to_have_count(6)
    await views.get_by_role("link", name="Transitions").click()
    transitions = page.get_by_role("region", name="Transitions")
    await expect(transitions.get_by_role("row").nth(1)).to_contain_text("all steps done")
    await views.get_by_role("link", name="Events").click()
    event = (
        page.get_by_role("region", name="Domain events").get_by_role("row").filter(has_text="order.placed")
    )
    await expect(event).to_contain_text("durable")
    lag = page.get_by_role("region", name="Subscriber groups and their lag")
    await expect(lag.get_by_role("row").filter(has_text="books")).to_contain_text(re.compile(r"\d+ records?"))
    await views.get_by_role("link", name="Data").click()
    await expect(page.get_by_role("region", name="Context")).to_contain_text('"number": 41')
    await expect(page.get_by_role("region", name="Context")).to_contain_text("[FILTERED]")
    assert SECRET not in await page.content()
    await page.reload()
    await expect(page.get_by_role("region", name="Context")).to_be_visible()


async def test_the_task_as_it_was(page: Page, system: ConsoleSystem) -> None:
    task_id = await system.request("order", {"number": 1})
    await system.wait_state(task_id, ["complete"])
    await page.goto(f"/console/tasks/{task_id}")
    await expect(page.get_by_role("link", name="Step confirm: complete")).to_be_visible()
    slider = page.get_by_role("slider")
    await slider.focus()
    await page.keyboard.press("Home")
    await expect(page.get_by_text("the past: seq 1")).to_be_visible()
    await expect(page.get_by_role("link", name="Step confirm: pending")).to_be_visible()
    await expect(page.locator("h1 + .chip")).to_contain_text("in progress")
    cancel = page.get_by_role("button", name="Cancel task")
    await expect(cancel).to_have_attribute("aria-disabled", "true")
    await cancel.click(force=True)  # closed, and still there to say why
    await expect(page.get_by_text("You look at the past")).to_be_visible()
    await page.get_by_role("button", name="Now").click()
    await expect(page.get_by_role("link", name="Step confirm: complete")).to_be_visible()


async def test_text_of_a_task_is_never_markup(page: Page, system: ConsoleSystem) -> None:
    task_id = await system.request("declined", {"note": HOSTILE}, reason=HOSTILE, tags=(HOSTILE,))
    await system.wait_state(task_id, ["error", "complete"])
    for path in ("/console", f"/console/tasks/{task_id}", f"/console/tasks/{task_id}?view=data"):
        await page.goto(path)
        await expect(page.get_by_text(HOSTILE).first).to_be_visible()
        await expect(page).not_to_have_title("taken")
        assert await page.locator("img[src=x]").count() == 0
    await page.goto(f"/console/tasks/{task_id}?step={HOSTILE}")
    await expect(page.get_by_text("The task has no step")).to_be_visible()
    await expect(page).not_to_have_title("taken")


async def test_what_waits_for_nobody_is_said(page: Page, system: ConsoleSystem) -> None:
    task_id = await system.request("waiting")
    await page.goto(f"/console/tasks/{task_id}")
    waits = page.locator(".waits")
    await expect(waits).to_contain_text(
        "nobody consumes steps.warehouse: start tasker worker with that queue"
    )


async def test_a_task_that_is_not_there(page: Page, system: ConsoleSystem) -> None:
    await page.goto("/console/tasks/01999999-0000-7000-8000-000000000000")
    await expect(page.get_by_text("There is no task 01999999-0000-7000-8000-000000000000")).to_be_visible()
    await page.goto("/console/tasks/nonsense")
    await expect(page.locator(".alert")).to_be_visible()


async def test_a_thousand_steps(page: Page, system: ConsoleSystem) -> None:
    task_id = await system.request("wide")
    await page.goto(f"/console/tasks/{task_id}")
    await expect(page.locator("svg.dag a.node")).to_have_count(WIDE_STEPS)
    await expect(page.locator("h1 + .chip")).to_contain_text("complete")
    await expect(page.locator("svg.dag a.node.tone-done")).to_have_count(WIDE_STEPS)
    await page.get_by_role("button", name="Fit the width").click()
    await expect(page.get_by_role("button", name="Fit the width")).to_have_attribute("aria-pressed", "true")
    await page.get_by_role("button", name="Original size").click()
    await page.locator("#node-999").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="s999")).to_be_focused()
    await page.get_by_role("link", name="Steps", exact=True).click()
    await expect(page.get_by_role("region", name="Steps").get_by_role("row")).to_have_count(WIDE_STEPS + 1)
    await page.get_by_role("textbox", name="Find by name or handler").fill("s99")
    await expect(page.get_by_role("region", name="Steps").get_by_role("row")).to_have_count(12)
    await page.get_by_role("button", name=f"complete {WIDE_STEPS:,}").click()
    await expect(page).to_have_url(re.compile("find=s99&state=complete"))
    await page.reload()
    await expect(page.get_by_role("region", name="Steps").get_by_role("row")).to_have_count(12)
    await page.get_by_role("link", name="Transitions").click()
    await page.get_by_role("button", name="older of").click()
    await expect(page.get_by_role("region", name="Transitions").locator("tbody tr")).to_have_count(400)


async def test_the_pages_fit_a_phone(phone: Page, system: ConsoleSystem) -> None:
    system.switch("funds", is_on=False)
    task_id = await system.request("declined")
    await system.wait_state(task_id, ["error"])
    await phone.goto(f"/console/tasks/{task_id}")
    await phone.get_by_role("link", name="Step charge_card: error").click()
    await expect(phone.get_by_role("heading", name="charge_card")).to_be_in_viewport()
    await fits(phone)
    await phone.get_by_role("button", name="Complete…").click()
    dialog = phone.get_by_role("dialog")
    await expect(dialog.get_by_role("textbox", name="Result")).to_be_visible()
    await expect(dialog.get_by_role("button", name="Complete the step")).to_be_in_viewport()
    await fits(phone)
    await phone.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    for view in ("steps", "timeline", "transitions", "data"):
        await phone.goto(f"/console/tasks/{task_id}?view={view}")
        await expect(phone.locator(f"#view-{view}")).to_have_attribute("aria-current", "true")
        await fits(phone)


async def test_the_page_comes_back_with_the_console(visit: Visit, system: ConsoleSystem) -> None:
    page = visit.page
    system.switch("release", is_on=False)
    task_id = await system.request("running")
    await page.goto(f"/console/tasks/{task_id}")
    await page.get_by_role("link", name="Step charge_card: in progress").click()
    await expect(page).to_have_url(re.compile("step=charge_card"))
    with visit.outage():
        system.kill(CONSOLE)
        await expect(page.get_by_text("Connection lost")).to_be_visible()
        system.switch("release")
        system.restart(CONSOLE)
        await system.wait_ready()
        await expect(page.get_by_role("link", name="Step ship: complete")).to_be_visible()
    # What was open is open again.
    await expect(page.get_by_role("heading", name="charge_card")).to_be_visible()

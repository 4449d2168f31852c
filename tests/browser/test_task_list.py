"""The task list: live, filtered, paged; commands to many tasks, and submitting one."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tasker_kafka.schemas.identity import new_request_id
from tests.support.browser_steps import confirm, fits, tab_to
from tests.support.browser_system import ConsoleSystem


def marker() -> str:
    """A tag that no other test's task has."""
    return f"list-{new_request_id().hex()[-12:]}"


async def test_rows_and_counts_are_live(page: Page, system: ConsoleSystem) -> None:
    mark = marker()
    await page.goto(f"/console?tag={mark}")
    await expect(page.get_by_text("No task fits these filters.")).to_be_visible()
    system.switch("release", is_on=False)
    task_id = await system.request("running", tags=(mark,))
    row = page.locator(f"#task-{task_id}")
    await expect(row).to_contain_text("in progress")
    await expect(page.locator("#count-in_progress b")).to_have_text("1")
    system.switch("release")
    await expect(row).to_contain_text("complete")
    await expect(row).to_contain_text("3/3")
    await expect(page.locator("#count-complete b")).to_have_text("1")
    await row.get_by_role("link").click()
    await expect(page.get_by_role("heading", name="running")).to_be_visible()


async def test_filters_are_typed_kept_in_the_address_and_explained(page: Page, system: ConsoleSystem) -> None:
    mark = marker()
    wanted = await system.request("order", {"number": 5, "city": f"Łódź {mark}"}, tags=(mark,))
    other = await system.request("order", {"number": 6}, tags=(mark,))
    for task_id in (wanted, other):
        await system.wait_state(task_id, ["complete"])
    await page.goto("/console")
    await page.get_by_role("textbox", name="Tag").fill(mark)
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.get_by_role("textbox", name="Text").fill(f"łódź {mark}")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator(f"#task-{wanted}")).to_be_visible()
    await page.reload()
    await expect(page.locator(f"#task-{wanted}")).to_be_visible()
    await expect(page.get_by_role("textbox", name="Tag")).to_have_value(mark)
    error = page.locator("#count-error")
    await tab_to(page, error)
    await page.keyboard.press("Enter")
    await expect(error).to_have_attribute("aria-pressed", "true")
    await expect(page.get_by_text("No task fits these filters.")).to_be_visible()
    await expect(error).to_be_focused()
    await page.get_by_role("textbox", name="Created after").fill("yesterday")
    await expect(page.get_by_text("'yesterday' is no time: write 2026-01-31")).to_be_visible()


async def test_pages_of_the_list(page: Page, system: ConsoleSystem) -> None:
    mark = marker()
    tasks = [await system.request("waiting", tags=(mark,)) for _ in range(51)]
    await page.goto(f"/console?tag={mark}")
    await expect(page.locator("tbody tr")).to_have_count(50)
    await page.get_by_role("button", name="Older").click()
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator(f"#task-{tasks[0]}")).to_be_visible()
    await page.get_by_role("button", name="Newer").click()
    await expect(page.locator("tbody tr")).to_have_count(50)


async def test_many_are_retried_after_a_dry_run(page: Page, system: ConsoleSystem) -> None:
    mark = marker()
    system.switch("funds", is_on=False)
    failed = [await system.request("declined", tags=(mark,)) for _ in range(2)]
    done = await system.request("order", {"number": 3}, tags=(mark,))
    for task_id in failed:
        await system.wait_state(task_id, ["error"])
    await system.wait_state(done, ["complete"])
    await page.goto(f"/console?tag={mark}")
    await expect(page.locator("tbody tr")).to_have_count(3)
    system.switch("funds")
    await page.get_by_role("button", name="Retry all…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("2 of 3 tasks would be taken to")
    await expect(dialog).to_contain_text("Nothing has been done yet.")
    await expect(dialog).to_contain_text(mark)
    await dialog.get_by_text("Which").click()
    await expect(dialog.get_by_role("link", name=failed[0])).to_be_visible()
    assert (await system.api(f"/tasks/{failed[0]}"))["task"]["state"] == "error"
    await confirm(page, "Retry 2 tasks", "cards were topped up")
    for task_id in failed:
        await system.wait_state(task_id, ["complete"])
        await expect(page.locator(f"#task-{task_id}")).to_contain_text("complete")


async def test_a_task_is_submitted_and_faults_have_their_paths(page: Page, system: ConsoleSystem) -> None:
    await page.goto("/console")
    await page.get_by_role("button", name="Submit a task…").click()
    dialog = page.get_by_role("dialog")
    template = dialog.get_by_role("combobox", name="Template")
    await template.fill("shop/priced")
    await page.get_by_role("option", name="shop/priced@1.0.0").click()
    await dialog.get_by_label("Reason").fill("by hand")
    await dialog.get_by_role("textbox", name="Context").fill("[1]")
    await dialog.get_by_role("button", name="Submit").click()
    await expect(dialog.get_by_role("alert").filter(has_text="a JSON object")).to_be_visible()
    await dialog.get_by_role("textbox", name="Context").fill('{"total": "much"}')
    await dialog.get_by_role("button", name="Submit").click()
    fault = dialog.get_by_role("alert").filter(has_text="invalid_context")
    await expect(fault.locator("code")).to_have_text("context.total")
    await dialog.get_by_role("textbox", name="Context").fill('{"total": 12}')
    await dialog.get_by_role("button", name="Submit").dblclick()
    link = dialog.locator("#submitted-task")
    task_id = await link.inner_text()
    task = await system.wait_state(task_id, ["complete"])
    assert (task["reason"], task["initiator"], task["source_system"]) == ("by hand", "console", "console")
    await link.click()
    await expect(page.get_by_role("heading", name="priced")).to_be_visible()


async def test_templates_and_their_figures(page: Page, system: ConsoleSystem) -> None:
    await system.wait_state(await system.request("order", {"number": 2}), ["complete"])
    await page.goto("/console/templates")
    await page.get_by_role("textbox", name="Name or description").fill("takes an order")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.get_by_role("link", name="shop/order").click()
    await expect(page.get_by_role("link", name="Step place")).to_be_visible()
    await expect(page.get_by_role("region", name="Levels").get_by_role("row")).to_have_count(5)
    steps = page.get_by_role("region", name="Steps").locator("tbody tr")
    await expect(steps).to_have_count(5)
    await expect(steps.first).to_contain_text("ms")
    closed = page.get_by_role("region", name="Closed tasks by version").locator("tbody tr")
    await expect(closed).to_contain_text("1.0.0")
    await page.goto("/console/templates/shop/ordr/1.0.0")
    await expect(page.get_by_text("No template shop/ordr is published")).to_be_visible()


async def test_the_lists_fit_a_phone(phone: Page, system: ConsoleSystem) -> None:
    for path in ("/console", "/console/templates", "/console/templates/shop/wide"):
        await phone.goto(path)
        await expect(phone.locator("tbody tr").first).to_be_visible()
        await fits(phone)


async def test_colours_are_chosen_without_a_cookie(page: Page, system: ConsoleSystem) -> None:
    await page.goto("/console")
    button = page.get_by_role("button", name="Colours")
    await button.click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await expect(page.locator("body.body--dark")).to_be_visible()

"""The pages about the running system, over real processes: what they say, at a desk and at phone width."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tasker_kafka.schemas.identity import format_id, new_request_id
from tasker_kafka.schemas.records import TaskRequest
from tests.support.browser_steps import fits
from tests.support.browser_system import ConsoleSystem
from tests.support.browser_work import NAMESPACE, NOBODY, SECRET

PAGES = ("dlq", "stale", "rejections", "workers", "subscribers", "subscribers/books", "analytics", "health")


async def test_workers_and_what_waits_for_nobody(page: Page, system: ConsoleSystem) -> None:
    task_id = await system.request("waiting")
    await page.goto("/console/workers")
    waits = page.get_by_role("alert").filter(has_text="Waits for nobody")
    await expect(waits).to_contain_text(f"nobody consumes steps.{NOBODY}: start tasker worker")
    served = page.get_by_role("row").filter(has_text="shop.work").filter(has_text="shop/order@1.0.0")
    await expect(served).to_contain_text("1 worker")
    await expect(page.get_by_role("row").filter(has_text="alive")).to_have_count(1)
    await system.wait_state(task_id, ["in_progress"])


async def test_rejections_with_the_original_and_without_its_secrets(
    page: Page, system: ConsoleSystem
) -> None:
    request_id = new_request_id()
    context = b'{"password":"' + SECRET.encode() + b'","cart":[1]}'
    await system.send(TaskRequest(name="ordr", namespace=NAMESPACE, context=context, request_id=request_id))
    await page.goto("/console/rejections?code=unknown_template")
    row = page.get_by_role("row").filter(has_text="shop/ordr").first
    await expect(row).to_contain_text("order")
    await row.get_by_role("link").click()
    request = page.get_by_role("region", name="The request")
    await expect(request).to_contain_text('"cart"')
    await expect(request).to_contain_text("[FILTERED]")
    await expect(page.get_by_text(format_id(request_id))).to_be_visible()
    assert SECRET not in await page.content()
    await page.goto("/console/rejections/0:999999")
    await expect(page.get_by_role("alert")).to_contain_text("No rejection lies at 0:999999")


async def test_subscriber_groups_and_one_of_them(page: Page, system: ConsoleSystem) -> None:
    await page.goto("/console/subscribers")
    row = page.get_by_role("row").filter(has_text="audit")
    await expect(row).to_contain_text("1 member")
    await expect(row).to_contain_text("none")
    await row.get_by_role("link", name="audit").click()
    await expect(page.get_by_role("region", name="Subscriptions")).to_contain_text("order.*")
    await expect(page.get_by_role("region", name="Members").get_by_role("row")).to_have_count(2)
    await page.goto("/console/subscribers/audti")
    await expect(page.get_by_role("alert")).to_contain_text("Did you mean audit?")


async def test_analytics_of_what_ran(page: Page, system: ConsoleSystem) -> None:
    await system.wait_state(await system.request("order", {"number": 1}), ["complete"])
    await page.goto("/console/analytics?template=order")
    tasks = page.get_by_role("region", name="Tasks by template")
    await expect(tasks.get_by_role("link", name="shop/order@1.0.0")).to_be_visible()
    steps = page.get_by_role("region", name="Steps by time")
    await expect(steps.get_by_role("row")).to_have_count(6)


async def test_health_names_every_part(page: Page, system: ConsoleSystem) -> None:
    await page.goto("/console/health")
    for part in ("broker", "projection", "workers"):
        row = page.get_by_role("row").filter(has=page.get_by_text(part, exact=True))
        await expect(row.first).to_contain_text("ok")
    members = page.get_by_role("region", name="Orchestrators").get_by_role("row")
    await expect(members).to_have_count(2)


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_has_its_heading_and_fits_a_phone(phone: Page, path: str) -> None:
    await phone.goto(f"/console/{path}")
    await expect(phone.get_by_role("heading", level=1)).to_be_visible()
    await expect(phone.get_by_text("Reading…")).to_have_count(0)
    await expect(phone.get_by_role("alert").filter(has_text="could not be read")).to_have_count(0)
    await fits(phone)


@pytest.mark.parametrize("path", PAGES)
async def test_every_input_has_a_name_and_every_control_the_keyboard(page: Page, path: str) -> None:
    await page.goto(f"/console/{path}")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    nameless = await page.evaluate(
        """[...document.querySelectorAll('input, select, textarea, button')]
           .filter(each => !(each.labels?.length || each.ariaLabel || each.textContent.trim()))
           .map(each => each.outerHTML)"""
    )
    assert nameless == []
    unreachable = await page.evaluate(
        """[...document.querySelectorAll('[data-act], a, summary')]
           .filter(each => each.tabIndex < 0).map(each => each.outerHTML)"""
    )
    assert unreachable == []

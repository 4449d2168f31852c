"""Messages to Slack and Teams, as their wire formats say: pure functions, so tables."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tasker_kafka.handlers import PermanentError
from tasker_kafka.handlers.integrations import Facts, SlackConfig, TeamsConfig
from tasker_kafka.handlers.integrations.sender import check_answer
from tasker_kafka.handlers.integrations.slack import slack_request
from tasker_kafka.handlers.integrations.teams import teams_request

from .event_samples import COMPLETED, EVENT, FAILED, HOSTILE, LONG, TASK, facts

HOOK = "https://hooks.example/services/T0/B0/XXXX-YYYY"

# ---------------------------------------------------------------------------------------------- Slack


def slack(found: Facts, **config: Any) -> dict[str, Any]:
    made = SlackConfig.model_validate({"webhook": "env:HOOK", **config})
    body: dict[str, Any] = json.loads(slack_request(found, made, HOOK).body)
    return body


def test_slack_blocks_of_a_failure() -> None:
    body = slack(facts(), task_url="https://console.example/tasks/{task_id}")
    assert body["text"] == "❌ shop/checkout failed"
    header, fields, error, footer = body["blocks"]
    assert header == {
        "type": "header",
        "text": {"type": "plain_text", "text": "❌ shop/checkout failed", "emoji": True},
    }
    shown = dict(each["text"].split("\n", 1) for each in fields["fields"])
    assert shown["*Environment*"] == "production"
    assert shown["*Duration*"] == "1 min 45 s"
    assert shown["*Failed steps*"] == "charge_card"
    assert shown["*Error*"] == "card_declined"
    assert error["text"]["text"] == "```the bank declined 129.00```"
    assert footer["elements"][0]["text"] == (
        f"<https://console.example/tasks/{TASK}|Open the task> · task {TASK} · event {EVENT}"
    )


def test_slack_error_has_200_characters_and_can_neither_mention_nor_leave_its_code() -> None:
    body = slack(facts(HOSTILE))
    text = body["blocks"][2]["text"]["text"].removeprefix("```").removesuffix("```")
    assert "<" not in text
    assert "`" not in text
    plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert len(plain) == 200
    assert plain.endswith("…")


@pytest.mark.parametrize(("payload", "symbol"), [(COMPLETED, "✅"), (FAILED, "❌"), ({}, "🔔")])
def test_slack_shows_the_outcome(payload: Any, symbol: str) -> None:
    assert slack(facts(payload))["text"].startswith(symbol)


def test_slack_channel_by_environment_where_the_server_takes_one() -> None:
    channel = {"production": "#alerts", "default": "#dev"}
    assert slack(facts(), channel=channel)["channel"] == "#alerts"
    assert slack(facts(environment="qa"), channel=channel)["channel"] == "#dev"
    assert slack(facts(), channel="#all")["channel"] == "#all"
    assert "channel" not in slack(facts())


def test_slack_limits_hold_for_strange_events() -> None:
    strange = facts(
        {**HOSTILE, "failed_steps": ["s" * 500] * 100}, name="a." + "n" * 400, namespace="n" * 400
    )
    body = slack(strange)
    assert len(body["blocks"][0]["text"]["text"]) <= 150
    assert len(body["blocks"][1]["fields"]) <= 10
    assert all(len(each["text"]) <= 2_000 for each in body["blocks"][1]["fields"])
    assert slack(facts({}, template=None, task_id=None, environment=""))["blocks"][1]["fields"]


# ---------------------------------------------------------------------------------------------- Teams


def teams(found: Facts, **config: Any) -> dict[str, Any]:
    request = teams_request(found, TeamsConfig.model_validate({"webhook": "env:HOOK", **config}), HOOK)
    assert len(request.body) < 28 * 1024
    body = json.loads(request.body)
    assert body["type"] == "message"
    [attachment] = body["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card: dict[str, Any] = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    return card


def test_teams_card_of_a_failure() -> None:
    card = teams(facts(), task_url="https://console.example/tasks/{task_id}")
    title, rows, error = card["body"]
    assert (title["text"], title["color"]) == ("❌ shop/checkout failed", "Attention")
    assert {"title": "Duration", "value": "1 min 45 s"} in rows["facts"]
    assert {"title": "Event", "value": EVENT} in rows["facts"]
    assert error["inlines"][0]["text"] == "the bank declined 129.00"
    assert card["actions"] == [
        {
            "type": "Action.OpenUrl",
            "title": "Open the task",
            "url": f"https://console.example/tasks/{TASK}",
        }
    ]


def test_teams_card_without_error_or_link() -> None:
    card = teams(facts(COMPLETED))
    assert len(card["body"]) == 2
    assert "actions" not in card
    assert card["body"][0]["color"] == "Good"


def test_teams_error_has_200_characters_and_no_fact_is_a_link() -> None:
    link = "[x](http://evil.example)"
    card = teams(facts({**HOSTILE, "error": {"code": link, "message": LONG}}))
    assert len(card["body"][2]["inlines"][0]["text"]) == 200
    assert "](" not in json.dumps(card["body"][:2])


@pytest.mark.parametrize("said", [HOOK, "/services/T0/B0/XXXX-YYYY", "no such token XXXX-YYYY"])
def test_an_answer_that_repeats_the_address_is_not_repeated(said: str) -> None:
    for request in (
        slack_request(facts(), SlackConfig.model_validate({"webhook": "env:H"}), HOOK),
        teams_request(facts(), TeamsConfig.model_validate({"webhook": "env:H"}), HOOK),
    ):
        with pytest.raises(PermanentError) as caught:
            check_answer(request, httpx.Response(404, text=f"nothing at {said}"))
        assert "XXXX" not in str(caught.value)
        assert "nothing at" in str(caught.value)

"""Messages in a Microsoft Teams channel, by environment.

Wire format: Microsoft Learn, "Create incoming webhooks with Workflows for Microsoft Teams" (trigger "When a Teams
webhook request is received"): a message whose attachment is an Adaptive Card 1.4; 28 KB in all; 202 accepts, 429 asks
to slow down. The retired connectors of Office 365, which answered 200 to everything, are not supported.

The error is a text run, which is shown as it is. Facts are Markdown, so there the brackets of a link are pulled apart.

Idempotency: there is none in Teams. A message whose acceptance was lost is posted again; its event id is in the card.
"""

from __future__ import annotations

from typing import Any, Final

from tasker_kafka.handlers.subscribing.event import DomainEvent

from .chat import ChatConfig, ChatSubscriber, rows_of, symbol_of
from .facts import Facts, Outcome
from .request import Request, address_secrets, json_request
from .texts import ERROR_LENGTH, one_line

__all__ = ["TeamsConfig", "TeamsSubscriber", "teams_request"]

_CARD: Final = "application/vnd.microsoft.card.adaptive"
_COLOURS: Final = {Outcome.SUCCESS: "Good", Outcome.FAILURE: "Attention", Outcome.CANCELLED: "Warning"}
_LONGEST_HEADLINE: Final = 300


class TeamsConfig(ChatConfig):
    """Where messages go. `webhook` is a secret: whoever has it may post."""


def teams_request(facts: Facts, config: TeamsConfig, webhook: str) -> Request:
    """One card: headline, facts, the error in 200 characters, a link to the task."""
    headline = one_line(f"{symbol_of(facts)} {facts.headline}", _LONGEST_HEADLINE)
    rows = [*rows_of(facts), ("Event", facts.event_id)]
    body: list[dict[str, Any]] = [
        {
            "type": "TextBlock",
            "size": "Medium",
            "weight": "Bolder",
            "wrap": True,
            "color": _COLOURS.get(facts.outcome, "Default"),
            "text": _without_links(headline),
        },
        {
            "type": "FactSet",
            "facts": [{"title": name, "value": _without_links(value)} for name, value in rows],
        },
    ]
    if facts.error is not None and facts.error.message:
        run = {
            "type": "TextRun",
            "fontType": "Monospace",
            "text": one_line(facts.error.message, ERROR_LENGTH),
        }
        body.append({"type": "RichTextBlock", "inlines": [run]})
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": body,
    }
    link = config.link(facts)
    if link is not None:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open the task", "url": link}]
    attachment = {"contentType": _CARD, "contentUrl": None, "content": card}
    message = {"type": "message", "attachments": [attachment]}
    return json_request("Teams", webhook, message, secrets=address_secrets(webhook))


def _without_links(text: str) -> str:
    return text.replace("](", "] (")


class TeamsSubscriber(ChatSubscriber):
    """Posts events to Microsoft Teams."""

    config: TeamsConfig
    service = "Teams"

    def message(self, event: DomainEvent[Any], facts: Facts, webhook: str) -> Request:
        """The card."""
        return teams_request(facts, self.config, webhook)

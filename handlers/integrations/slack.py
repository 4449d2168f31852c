"""Messages in a Slack channel, by environment.

Wire format: Slack "Sending messages using incoming webhooks" and Block Kit (header 150 characters of plain text, at
most 10 fields of 2,000 characters in a section, `text` as fallback; &, < and > escaped, so that nothing an error says
can mention anybody or hide a link); 200 with `ok` accepts, 400, 403, 404 and 410 refuse, 429 has Retry-After.

A webhook belongs to one channel, so the channel is chosen by giving each environment its own webhook. `channel` is for
servers that take one in the message (Mattermost, older Slack webhooks).

Idempotency: there is none in Slack. A message whose acceptance was lost is posted again; its event id is in the footer.
"""

from __future__ import annotations

from typing import Any, Final

from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.settings.section import setting

from .chat import ChatConfig, ChatSubscriber, rows_of, symbol_of
from .facts import Facts
from .options import TextByEnvironment, for_environment
from .request import Request, address_secrets, json_request
from .texts import ERROR_LENGTH, one_line, shorten

__all__ = ["SlackConfig", "SlackSubscriber", "slack_request"]

_LONGEST_HEADER: Final = 150
_LONGEST_FIELD: Final = 2_000


class SlackConfig(ChatConfig):
    """Where messages go. `webhook` is a secret: whoever has it may post."""

    channel: TextByEnvironment = setting(
        {}, "Channel by environment, for servers that take one in the message."
    )


def slack_request(facts: Facts, config: SlackConfig, webhook: str) -> Request:
    """One message: headline, facts in two columns, the error in 200 characters, ids in the footer."""
    fields = [
        {"type": "mrkdwn", "text": shorten(f"*{name}*\n{_escaped(value)}", _LONGEST_FIELD)}
        for name, value in rows_of(facts)
    ]
    headline = f"{symbol_of(facts)} {facts.headline}"
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(shorten(headline, _LONGEST_HEADER))},
        {"type": "section", "fields": fields},
    ]
    if facts.error is not None and facts.error.message:
        # A backtick would end the code.
        error = one_line(facts.error.message, ERROR_LENGTH).replace("`", "'")
        blocks.append({"type": "section", "text": _marked(f"```{_escaped(error)}```")})
    link = config.link(facts)
    footer = (
        f"event {facts.event_id}"
        if facts.task_id is None
        else f"task {facts.task_id} · event {facts.event_id}"
    )
    footer = _escaped(footer)
    if link is not None:
        footer = f"<{_escaped(link).replace('|', '%7C')}|Open the task> · {footer}"
    blocks.append({"type": "context", "elements": [_marked(footer)]})
    body: dict[str, Any] = {"text": _escaped(headline), "blocks": blocks}
    channel = for_environment(config.channel, facts.environment)
    if channel is not None:
        body["channel"] = channel
    return json_request("Slack", webhook, body, secrets=address_secrets(webhook))


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": True}


def _marked(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class SlackSubscriber(ChatSubscriber):
    """Posts events to Slack."""

    config: SlackConfig
    service = "Slack"

    def message(self, event: DomainEvent[Any], facts: Facts, webhook: str) -> Request:
        """The message."""
        return slack_request(facts, self.config, webhook)

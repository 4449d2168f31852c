"""Ready-made subscribers, each opt-in: alerting, chat, metrics, audit, webhooks."""

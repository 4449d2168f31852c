"""What the generators write: projects, step handlers, subscribers, templates, event models."""

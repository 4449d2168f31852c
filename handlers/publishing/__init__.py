"""Publishing of domain events: from step handlers and from any other business code."""

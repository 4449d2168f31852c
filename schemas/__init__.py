"""The language of the system: records, templates and plans, identity, settings, codec, errors."""

"""Handlers in child processes: what a handler does to its process, its worker survives."""

"""Assembles the roles: command line, demo, containers, settings files."""

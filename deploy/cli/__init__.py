"""The command line `tasker`: argument parsing and lazy imports of roles, no logic."""

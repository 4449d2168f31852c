"""Intake and engine loops over the log port: order, checkpoints, acquisition. No Faust."""

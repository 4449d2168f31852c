"""Pure rules of a task: decide, evolve, outputs. No clock, no chance, no input or output."""

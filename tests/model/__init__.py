"""Explores every interleaving of a partition's owners, to the end, and judges every state on the way.

The model holds what design and code rely on: the order of a takeover and of a checkpoint, fencing, late and lost
writes, and the rule that readers keep. Decisions, folds, outputs and the readers' rule are the real ones. Each known
mistake of such a protocol can be planted, and must then be found. `python -m tests.model` runs it.
"""

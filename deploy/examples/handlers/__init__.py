"""One module of step handlers per team. They decide by their inputs alone, so every run of a story is the same run."""

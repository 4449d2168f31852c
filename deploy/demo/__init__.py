"""The demo: `make demo` runs the whole system once, tells its stories, and leaves nothing behind."""

"""The read side in one process: HTTP API, pages, and the logic that both stand on.

`backend` is all logic; `api` and `pages` are thin faces over it and call it in process. Needs the extra `console`;
nothing outside this package imports it before a command asks for it.
"""

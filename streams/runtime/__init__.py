"""The Faust side of the engine: application, agents, transport, table and store."""

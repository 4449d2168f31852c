"""Where the language travels: topics, provisioning, clients, and the log port with its two sides."""

"""The way to the first live session: its steps, its variables, and the ``.env`` file."""

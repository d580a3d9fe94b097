"""Who can reach what: the imports of the executor's rooms, and what an agent's process can do."""

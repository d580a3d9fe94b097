"""Tests of the boundaries of trading: imports between rooms, the deployment, and the limits of an agent's process."""

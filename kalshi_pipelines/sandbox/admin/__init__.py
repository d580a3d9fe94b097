"""The routes that steer the sandbox itself. None is part of the exchange's API, none is signed or rate limited."""

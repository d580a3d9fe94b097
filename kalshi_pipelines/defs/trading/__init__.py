"""Trading: the inbox of proposals, the gated asset that executes them, the kill switch, and the audit."""

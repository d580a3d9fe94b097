"""What people run: the command line, trading sessions, the kill switch, the audit."""

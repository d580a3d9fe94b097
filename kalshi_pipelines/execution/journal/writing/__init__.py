"""The commands of a journal transaction, one file per subject.

Only ``audit_writer`` appends to the audit log. To store rows together with an audit record, the other commands
call ``audit_writer``.
"""

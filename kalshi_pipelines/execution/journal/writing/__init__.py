"""The commands of a journal transaction, one file per subject.

Only ``audit_writer`` appends to the audit log. Every other command passes the rows to store, and the facts about them,
to ``audit_writer``.
"""

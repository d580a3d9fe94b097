"""A change of a journal that its guards do not notice."""

import sqlalchemy as sa


def tamper(engine: sa.Engine, statement: str) -> None:
    """Change a journal with all guards and checks switched off, as the owner of its database can.

    The statement may also drop a table, as if the journal came from an earlier version.
    """
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        if engine.dialect.name == "sqlite":
            driver.execute("PRAGMA foreign_keys = OFF")
            driver.execute("PRAGMA ignore_check_constraints = ON")
            driver.execute("BEGIN")
            kept = driver.execute("SELECT name, sql, tbl_name FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for name, _, _ in kept:
                driver.execute(f"DROP TRIGGER {name}")
            driver.execute(statement)
            there = {row[0] for row in driver.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()}
            for _, sql, table in kept:
                if table in there:
                    driver.execute(sql)
            driver.execute("COMMIT")
            driver.execute("PRAGMA ignore_check_constraints = OFF")
            driver.execute("PRAGMA foreign_keys = ON")
            return
        # A superuser can switch off all triggers, including those of foreign keys.
        driver.execute("SET session_replication_role = replica")
        tables = [
            row[0]
            for row in driver.execute(
                "SELECT DISTINCT c.relname FROM pg_trigger t JOIN pg_class c "
                "ON c.oid = t.tgrelid WHERE NOT t.tgisinternal"
            ).fetchall()
        ]
        for table in tables:
            driver.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        driver.execute(statement)
        for table in tables:
            names = driver.execute(
                f"SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass('{table}') AND NOT tgisinternal"
            ).fetchall()
            for (name,) in names:
                driver.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")
        driver.execute("SET session_replication_role = DEFAULT")
        driver.commit()

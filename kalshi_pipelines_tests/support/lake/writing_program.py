"""A program that publishes to a lake again and again, while other programs read the lake.

``python -m kalshi_pipelines_tests.support.lake.writing_program DATABASE FOLDER`` runs until its input is closed, and
prints the number of publishes. Publish ``n`` adds the row ``n`` with the price ``n`` to each of two days.
"""

import datetime as dt
import select
import sys
from itertools import count
from pathlib import Path

from kalshi_pipelines.units import DAY_US
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.lake.lakes import DAY, EXACT, MIDNIGHT_US, batch, local_lake


def main() -> None:
    """Run the program."""
    engine, lake = open_engine(sys.argv[1]), local_lake(Path(sys.argv[2]))
    for number in count(1):
        rows = {
            DAY + dt.timedelta(days=day): [
                batch(EXACT, [(f"T{number % 7}", MIDNIGHT_US + day * DAY_US + number, number)])
            ]
            for day in (0, 1)
        }
        lake.publish(engine, EXACT, rows, f"publish {number}")
        if number == 1:
            sys.stdout.write("started\n")
            sys.stdout.flush()
        if select.select([sys.stdin], [], [], 0)[0]:
            sys.stdout.write(f"{number}\n")
            return


if __name__ == "__main__":
    main()

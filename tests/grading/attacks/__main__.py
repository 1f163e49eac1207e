"""`python -m tests.grading.attacks [NAME …]` grades the hostile submissions and prints what came of them."""

from __future__ import annotations

import sys
import time
from pathlib import Path


def main() -> int:
    """Exit status 1 where one gained something or harmed somebody."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as for the tests
    from attacks import _harness

    wanted, rows = set(sys.argv[1:]), []
    began = time.monotonic()
    with _harness.stage() as stage:
        for attack in _harness.attacks():
            if not wanted or attack.name in wanted:
                row = _harness.attempt(attack, stage)
                print(f"{row.seconds:5.1f} {row.neighbour:4.1f} {attack.name}: {row.outcome}", file=sys.stderr)
                for problem in row.problems:
                    print(f"      {problem[:300]}", file=sys.stderr)
                rows.append(row)
    print(_harness.table(rows))
    bad = sum(bool(row.problems) for row in rows)
    print(f"\n{len(rows)} hostile submissions, {bad} of them with success, {time.monotonic() - began:.0f} seconds.")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

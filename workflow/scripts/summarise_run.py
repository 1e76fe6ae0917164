"""Print where the report is and what each stage took (run by ``make report``)."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

BENCHMARKS = Path("results/demo/benchmarks")


def stages(folder: Path) -> dict[str, tuple[int, float, float]]:
    """Read Snakemake's benchmark files.

    Args:
        folder: Holds one folder per stage.

    Returns:
        Stage to number of jobs, sum of their minutes, and largest memory in GiB.
    """
    found = {}
    for stage in sorted(path for path in folder.iterdir() if path.is_dir()):
        rows = [next(csv.DictReader(p.open(), delimiter="\t")) for p in stage.rglob("*.tsv")]
        minutes = sum(float(row["s"]) for row in rows) / 60
        memory = [float(row["max_rss"]) for row in rows if row["max_rss"] not in {"-", "NA"}]
        found[stage.name] = (len(rows), minutes, max(memory, default=0) / 1024)
    return found


def main() -> None:
    """Print the table."""
    order = ["data", "pretrain", "zeroshot", "ood", "hessian", "report"]
    found = stages(BENCHMARKS) if BENCHMARKS.is_dir() else {}
    print(f"\n{'stage':<10}{'jobs':>6}{'job minutes':>13}{'peak GiB':>10}")
    for stage in [*order, *sorted(set(found) - set(order))]:
        if stage in found:
            jobs, minutes, memory = found[stage]
            print(f"{stage:<10}{jobs:>6}{minutes:>13.1f}{memory:>10.1f}")
    report = Path("paper/report.pdf").resolve()
    if not report.exists():
        sys.exit(f"{report} is missing: the run did not finish")
    print(f"\nThe report: {report}")


if __name__ == "__main__":
    main()

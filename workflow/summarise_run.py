"""Print what was found, what each stage took, and where the report is (run by ``make report``)."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pandas as pd

from clip_mamba.cli.table import markdown
from clip_mamba.tables import read_csv

RESULTS = Path("results")
#: Zero-shot tasks that are shown, the first of the study.
TASKS = 3
STAGES = ["data", "pretrain", "zeroshot", "retrieval", "linear-probe", "ood", "hessian"]


def stages(folder: Path) -> pd.DataFrame:
    """Read Snakemake's benchmark files.

    Args:
        folder: Holds one folder per stage.

    Returns:
        Stage, number of jobs, sum of their minutes, largest memory in GiB.
    """
    found = []
    for stage in STAGES:
        rows = [next(csv.DictReader(p.open(), delimiter="\t")) for p in folder.glob(f"{stage}/*")]
        memory = [float(row["max_rss"]) for row in rows if row["max_rss"] not in {"-", "NA"}]
        found.append({
            "stage": stage,
            "jobs": len(rows),
            "job minutes": f"{sum(float(row['s']) for row in rows) / 60:.1f}",
            "peak GiB": f"{max(memory, default=0) / 1024:.1f}",
        })
    return pd.DataFrame(found)


def scale_of(folder: Path) -> str:
    """Tell which scale the tables show, which may have been chosen on the command line.

    Args:
        folder: Holds the CSV tables.

    Returns:
        Its name, as ``demo``.
    """
    source: str = read_csv(folder / "zeroshot.csv")["source"].dropna().iloc[0]
    return source.split("/")[0]


def findings(folder: Path) -> pd.DataFrame:
    """Read the headline numbers of each model from the tables.

    Args:
        folder: Holds the CSV tables.

    Returns:
        One row per model, accuracies in per cent with their 95 % intervals.
    """
    zeroshot, ood = read_csv(folder / "zeroshot.csv"), read_csv(folder / "ood.csv")
    hessian = read_csv(folder / "hessian.csv")
    tasks = zeroshot["task"].unique()[:TASKS]
    parts = {task: zeroshot[zeroshot["task"] == task] for task in tasks}
    parts["mean OOD"] = ood[ood["quantity"] == "mean-accuracy"]
    columns = {
        name: part.set_index("model").apply(_percent, axis=1) for name, part in parts.items()
    }
    sharpest = hessian[hessian["quantity"] == "lambda_max"].set_index("model")["value"]
    columns["largest eigenvalue"] = sharpest.map("{:.0f}".format)
    table = pd.DataFrame(columns).astype(object).reindex(zeroshot["model"].unique())
    return table.where(table.notna(), "-").reset_index(names="model")


def _percent(row: pd.Series) -> str:
    if pd.isna(row["value"]):
        return "-"
    return f"{100 * row['value']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def _print(table: pd.DataFrame) -> None:
    print(markdown(list(table.columns), table.astype(str).to_numpy().tolist()))


def main() -> None:
    """Print the tables and the report's path."""
    report = Path("paper/report.pdf").resolve()
    if not report.exists():
        sys.exit(f"{report} is missing: the run did not finish")
    tables = RESULTS / "tables"
    print("\nAccuracy in per cent, with 95 % intervals:\n")
    _print(findings(tables))
    print(
        "\nJobs of a stage run side by side, so that the minutes add up to more than the clock:\n"
    )
    _print(stages(RESULTS / scale_of(tables) / "benchmarks"))
    print(f"\nThe report: {report}")


if __name__ == "__main__":
    main()

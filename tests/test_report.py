import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import synthetic_results as made

from clip_mamba import claims, report, tables
from clip_mamba.claims.comparisons import CONDITIONS, QUANTITIES
from clip_mamba.ood.trials import normalise
from clip_mamba.tables.select import source

TEMPLATE = Path("paper/report.tex.j2")
SECTIONS = "\n".join(path.read_text() for path in sorted(Path("paper/sections").glob("*.j2")))
NOTES = "\n".join(path.read_text() for path in sorted(Path("paper/tables").glob("*.j2")))
RECIPE = {"settings": {"batch_size": 128, "lr": 1e-3}, "reasons": {"batch_size": "few & small"}}


def _context(results, folder, claimed=None, **paths):
    return report.context(
        results,
        scale="demo",
        study={
            "models": list(made.MODELS),
            "seeds": [0],
            "image_size": 32,
            "retrieval": ["unseen-style"],
            "linear_probe": [],
            "ood": {"decision": "names"},
        },
        recipe=RECIPE,
        table_paths=paths.get("tables", {}),
        figure_paths=paths.get("figures", {}),
        claimed=claimed,
        folder=folder,
    )


def _claimed(results):
    trials = {
        (model, 0): {c: normalise(made.trials(model, 0, c), c) for c in CONDITIONS}
        for model in made.MODELS
    }
    shown = {"conditions": CONDITIONS, "quantities": QUANTITIES}
    return claims.evaluate(claims.gather(results, [], trials, **shown))


def test_missing_reason_and_escapes(tmp_path):
    context = _context(made.everything(), tmp_path)
    report.render(TEMPLATE, context, tmp_path / "report.tex")
    text = (tmp_path / "report.tex").read_text()
    assert r"few \& small" in text
    assert r"\missing{reason}" in text  # lr has none
    assert r"\missing{table models}" in text
    assert "(((" not in text and "((*" not in text


def test_numbers_come_from_the_results():
    """No decimal number stands in the sections' prose: all are computed."""
    prose = re.sub(r"\(\(\*.*?\*\)\)|\(\(\(.*?\)\)\)|\(\(=.*?=\)\)", "", SECTIONS, flags=re.DOTALL)
    prose = re.sub(r"\\cite[tp]?\{[^}]*\}", "", prose)
    typeset = r"\\[a-z]+\{?\d|\d?\.\d+\\textwidth|95\\,\\%|\[-?[\d.]+pt\]|\d[\d.]*pt"
    typeset += "|SHA-256|sha256|YFCC100M"
    assert re.findall(r"\d+\.\d+|\d{2,}", re.sub(typeset, "", prose)) == []


def test_the_way_from_a_number_to_its_file(tmp_path):
    results = made.everything()
    found = _context(results, tmp_path)["provenance"]
    example = found["example"]
    (result,) = [r for r in results if example["path"].endswith(source(r))]
    assert example["value"] == f"{100 * result.value:.1f}"
    paths = {row["path"] for row in found["files"]}
    assert {"demo/hessian/{run}.json", "tables/claims.csv", "tables/ood.csv"} <= paths
    # Each stage is named once, and what was not measured is not listed.
    assert [row["stage"] for row in found["files"] if row["stage"]] == [
        stage["name"] for stage in found["stages"]
    ]


def test_unknown_name_is_reported(tmp_path):
    template = tmp_path / "t.tex.j2"
    template.write_text("((( nothing )))")
    with pytest.raises(ValueError, match="nothing"):
        report.render(template, {}, tmp_path / "t.tex")
    assert not (tmp_path / "t.tex").exists()


def test_every_citation_has_a_reference():
    cited = set()
    for group in re.findall(r"\\cite[pt]?\{([^}]*)\}", SECTIONS + NOTES):
        cited |= set(group.split(","))
    known = set(re.findall(r"^@\w+\{([^,]+),", Path("paper/references.bib").read_text(), re.M))
    assert cited == known


def test_shape_biases_are_those_over_all_categories(tmp_path):
    results = made.everything()
    found = tables.ood(results)
    own = found[(found["quantity"] == "shape-bias") & (found["level"] == "")]["value"]
    said = _context(results, tmp_path)["ood"]
    assert said["shape"]["range"] == f"{100 * own.min():.0f} to {100 * own.max():.0f}"
    assert len(own) == len(made.MODELS)


def test_published_table_is_the_releases_own(tmp_path):
    published = _context([], tmp_path)["published"]
    assert (published["tasks"], len(published["models"])) == (26, 6)
    assert (published["small"]["size"], published["large"]["size"]) == ("66.6", "307")


@pytest.mark.parametrize("complete", [True, False])
def test_the_report_compiles(complete, tmp_path):
    """A missing table or figure leaves a mark; nothing stops the build."""
    results = made.everything() if complete else []
    folder = tmp_path / "paper"
    folder.mkdir()
    shutil.copy("paper/references.bib", folder)
    paths = {name: tmp_path / f"tables/{name}.tex" for name in tables.CONTEXTS}
    for name in paths if complete else ():
        frame = _claimed(results) if name == "claims" else getattr(tables, name)(results)
        tables.write(frame, name, paths[name].with_suffix(".csv"), paths[name], scale="demo")
    context = _context(
        results,
        folder,
        tables=paths,
        figures={"accuracy": tmp_path / "figures/none.pdf"},
        claimed=_claimed(results) if complete else None,
    )
    report.render(TEMPLATE, context, folder / "report.tex")
    command = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
    log = (folder / "report.log").read_text(errors="replace")
    assert "undefined" not in log
    assert not re.findall(r"Overfull \\hbox \((\d{2,})", log)
    text = subprocess.run(
        ["pdftotext", folder / "report.pdf", "-"], check=True, capture_output=True, text=True
    ).stdout
    assert "not available" in text
    assert "VMamba-T220" in text
    # The table of architectures needs no result.
    assert (text.count("VMamba-Micro") > 1) is complete


def test_verdicts_are_said_in_words():
    shared = {"comparison": "fair", "claim": "robustness", "null": 0.0}
    frame = pd.DataFrame([
        {**shared, "value": 1.0, "verdict": claims.SUPPORTED},
        {**shared, "value": 1.0, "verdict": claims.INCONCLUSIVE},
        {**shared, "value": -1.0, "verdict": claims.INCONCLUSIVE},
        {**shared, "value": 0.0, "verdict": claims.AT_CHANCE},
        {**shared, "claim": "efficiency", "value": 0.0, "verdict": claims.UNTESTED},
    ])
    said = {v["claim"]: v for v in report.verdicts(frame)}
    assert said["robustness"]["text"] == (
        "Of 3 comparisons, 1 supports it, none contradicts it and 2 are inconclusive; 2 point the "
        "claimed way. In 1 more pair neither model lies above chance, which says nothing of either."
    )
    assert said["robustness"]["said"] == "is inconclusive"
    assert said["efficiency"]["said"] == "cannot be tested"
    assert said["efficiency"]["text"].startswith("No Mamba model here has at most a quarter")
    assert said["sharpness"]["text"] == "No pair was measured."
    assert report.verdicts(None) == []

"""The whole workflow at its smallest, for real: downloads, pretraining, measurement, PDF."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from clip_mamba.results import Result
from tests.workflow import browser
from tests.workflow.conftest import ROOT, digests, snakemake
from workflow import digest

TRACING = ROOT / "tests/workflow/tracing"


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """A folder where each script notes which files of the library it ran functions of."""
    return tmp_path_factory.mktemp("trace")


@pytest.fixture(scope="module")
def finished(project, trace):
    traced = {"PYTHONPATH": str(TRACING), "LIBRARY_TRACE": str(trace)}
    done = snakemake(project, environment=traced)
    assert done.returncode == 0, done.stderr[-6000:]
    return project


@pytest.mark.timeout(900)
def test_every_stage_leaves_its_results(finished):
    results = finished / "results/demo"
    for model in ("ViT-Test", "ViT-Test@as-published", "VMamba-Test", "SiMBA-Test"):
        assert (results / f"weights/{model}-0.safetensors").stat().st_size > 10_000
        for kind, count in [("zeroshot", 4), ("ood", 17)]:
            found = [Result.read(p) for p in (results / kind / f"{model}-0").glob("*.json")]
            assert len(found) == count
            assert all(
                0 <= r.value <= 1 and r.interval[0] <= r.value <= r.interval[1] for r in found
            )
        curvature = Result.read(results / f"hessian/{model}-0.json")
        assert curvature.value > 0
        trained = Result.read(results / f"pretrain/{model}-0.json")
        assert curvature.weights_sha256 == trained.weights_sha256


@pytest.mark.timeout(60)
def test_digests_hold_all_code_that_ran(finished, trace):
    """Else an edit of it would run nothing again."""
    neutral = {f"{module.replace('.', '/')}.py" for module in digest.NEUTRAL}
    asked = digests()
    ran = {
        path.name: {str(Path(line).relative_to(finished)) for line in path.read_text().split()}
        for path in trace.iterdir()
    }
    assert {"pretrain_model", "evaluate_ood", "measure_hessian", "render_report"} <= set(ran)
    missing = {
        script: files - digest.files(*asked[script]) - neutral
        for script, files in ran.items()
        if script in asked
    }
    assert not {script: files for script, files in missing.items() if files}


@pytest.mark.timeout(60)
def test_numbers_of_the_tables_are_those_of_the_results(finished):
    table = pd.read_csv(finished / "results/tables/zeroshot.csv").set_index(["task", "model"])
    for path in (finished / "results/demo/zeroshot").glob("*/*.json"):
        result = Result.read(path)
        if result.value is not None:
            assert table.loc[(result.task, result.model), "value"] == pytest.approx(result.value)


@pytest.mark.timeout(60)
def test_predictions_are_kept_per_example(finished):
    folder = finished / "results/demo/zeroshot/VMamba-Test-0"
    result = json.loads((folder / "mnist.json").read_text())
    kept = pd.read_parquet(folder / "mnist.parquet")
    assert len(kept) == result["examples"] == 5000
    assert (kept["label"] == kept["top1"]).mean() == pytest.approx(result["value"])


@pytest.mark.timeout(60)
def test_the_report_is_whole(finished):
    text = subprocess.run(
        ["pdftotext", "-layout", "paper/report.pdf", "-"],
        cwd=finished,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "VMamba-Test" in text
    assert "??" not in text
    log = (finished / "paper/report.log").read_text()
    assert "undefined" not in log.lower()


@pytest.mark.timeout(300)
@pytest.mark.skipif(not (browser.DRIVER and browser.BROWSER), reason="needs chromium-driver")
def test_the_interactive_report_is_used_in_a_browser(finished):
    done = snakemake(finished, "--report", "report.html")
    assert done.returncode == 0, done.stderr
    with browser.Reader(finished / "report.html") as reader:
        reader.wait("CLIP-Mamba at demo scale")
        picture = "return document.images[0].width > 500"
        for category, seen in [
            ("Figures", picture),
            ("Figures by condition", picture),
            ("Tables", "return document.querySelector('tbody tr') !== null"),
        ]:
            reader.home()
            reader.click(category)
            for labels in reader.rows():
                reader.show(labels)
                assert reader.inside(seen), labels
                reader.show(labels, "information-circle")
                reader.wait("DESCRIPTION")
                reader.click(category)
            reader.screenshot(finished / f"{category}.png")
        reader.home()
        reader.click("Source data")
        assert any(row.split()[-2:] == ["VMamba-Test", "0"] for row in reader.rows())
        assert reader.errors() == []


@pytest.mark.timeout(60)
def test_a_second_run_has_nothing_to_do(finished):
    done = snakemake(finished)
    assert done.returncode == 0
    assert "Nothing to be done" in done.stderr + done.stdout


@pytest.mark.timeout(60)
def test_one_table_needs_only_its_own_measurements(project):
    done = snakemake(project, "--dry-run", "--forceall", "results/tables/ood.tex")
    planned = done.stdout + done.stderr
    assert done.returncode == 0
    assert "rule ood:" in planned
    assert "rule hessian:" not in planned
    assert "rule zeroshot:" not in planned


@pytest.mark.timeout(60)
def test_a_mistake_stops_before_any_work_with_one_line(project, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("scales: {demo: {models: [VMamba-Nanno]}}\n")
    done = snakemake(project, "--dry-run", config=str(wrong))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "unknown model 'VMamba-Nanno'; did you mean 'VMamba-Nano'?" in done.stderr

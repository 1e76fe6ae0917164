"""What ``make report`` prints at its end."""

import pytest

from workflow import summarise_run

ZEROSHOT = """task,model,value,low,high,source
pets,ViT-S,0.5,0.4,0.6,paper/zeroshot/ViT-S-0/pets.json
cars,ViT-S,,,,
flowers,ViT-S,0.25,0.2,0.3,paper/zeroshot/ViT-S-0/flowers.json
mnist,ViT-S,0.1,0.1,0.1,paper/zeroshot/ViT-S-0/mnist.json
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    tables = tmp_path / "results/tables"
    tables.mkdir(parents=True)
    (tables / "zeroshot.csv").write_text(ZEROSHOT)
    (tables / "ood.csv").write_text(
        "quantity,model,value,low,high\nmean-accuracy,ViT-S,0.2,0.1,0.3\n"
    )
    (tables / "hessian.csv").write_text("quantity,model,value\nlambda_max,ViT-S,12.4\n")
    for scale, seconds in (("demo", 60), ("paper", 600)):
        folder = tmp_path / f"results/{scale}/benchmarks/ood"
        folder.mkdir(parents=True)
        (folder / "ViT-S-0.tsv").write_text(f"s\tmax_rss\n{seconds}\t1024\n")
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper/report.pdf").touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("run")
def test_stages_and_tasks_are_those_of_the_scale_that_the_tables_show(capsys):
    summarise_run.main()
    shown = [line.replace(" ", "") for line in capsys.readouterr().out.splitlines()]
    assert "|model|pets|cars|flowers|meanOOD|largesteigenvalue|" in shown
    assert "|ViT-S|50.0[40.0,60.0]|-|25.0[20.0,30.0]|20.0[10.0,30.0]|12|" in shown
    assert "|ood|1|10.0|1.0|" in shown

"""What runs again after an edit of library, tables or configuration, and what does not."""

import json
import re
import time
from collections import Counter

import pytest
import yaml

from tests.workflow.conftest import MINIATURE, ROOT, copy_project, digests, snakemake
from workflow import corpora, digest

#: Parameters or a checksum say what these rules fetch; other code would fetch the same.
FETCHING = {
    *("fetch_release", "fetch_released", "fetch_retrieval", "fetch_source", "fetch_task"),
    *("fetch_url", "make_download_environment"),
}


def test_every_rule_has_the_digest_of_its_own_script():
    scripts = {path.stem for path in (ROOT / "workflow/scripts").glob("*.py")}
    assert set(digests()) == scripts - FETCHING
    for script, names in digests().items():
        assert names[0] in {script, "clip_mamba.data.shard_index"}


def concerned(path):
    """The scripts whose digest an edit of a file changes."""
    return {script for script, names in digests().items() if path in digest.files(*names)}


MEASURING = {
    *("evaluate_zeroshot", "evaluate_retrieval", "evaluate_linear_probe", "evaluate_ood"),
    "evaluate_baseline",
}
PLOTTING = {f"plot_{name}" for name in ("conditions", "corpus", "results", "stimuli", "table")}


#: The text of the report is rendered again whenever anything that it might say changes.
RENDERING = {"render_report", "compile_report", "all"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("figures/robustness.py", PLOTTING),
        (
            "style/clip_mamba.mplstyle",
            {*PLOTTING, "make_table", "make_claims_table", "render_report"},
        ),
        ("ood/export.py", {"export_trials"}),
        ("ood/protocol.py", {"evaluate_ood"}),
        ("hessian/measure.py", {"measure_hessian"}),
        ("released.py", {"convert_weights"}),
        ("recipe.py", {"pretrain_model", "measure_hessian", "render_report"}),
        ("training/module.py", {"pretrain_model"}),
        ("training/launch.py", set()),
        ("cli/pretrain.py", set()),
        ("report/words.py", {"render_report"}),
    ],
)
def test_an_edit_concerns_those_who_run_it(path, expected):
    assert concerned(f"clip_mamba/{path}") == expected


@pytest.mark.parametrize(
    ("path", "among", "not_among"),
    [
        ("seeding.py", {"pretrain_model", "measure_hessian", "make_stimuli", *MEASURING}, set()),
        ("statistics.py", {"make_table", *MEASURING}, {"pretrain_model", "measure_hessian"}),
        ("zeroshot.py", {"evaluate_zeroshot"}, {"pretrain_model", "evaluate_ood"}),
        ("models/vmamba.py", {"pretrain_model", *MEASURING - {"evaluate_baseline"}}, PLOTTING),
        ("data/shard_index.py", {"download_slice", "merge_yfcc"}, {"evaluate_ood"}),
        ("data/captions.py", {"build_training"}, {"pretrain_model", "evaluate_ood"}),
    ],
)
def test_an_edit_concerns_some_and_not_others(path, among, not_among):
    found = concerned(f"clip_mamba/{path}")
    assert among <= found
    assert not found & not_among


def test_neutral_modules_exist():
    assert all(digest.files(module) for module in digest.NEUTRAL)


def test_the_digest_reads_bytes_and_one_models_configuration(tmp_path, monkeypatch):
    copy_project(tmp_path)
    monkeypatch.setattr(digest, "ROOT", tmp_path)

    def code(model):
        for function in vars(digest).values():
            getattr(function, "cache_clear", lambda: None)()
        return digest.code("evaluate_ood", model=model)

    before = code("VMamba-S"), code("ViT-B-16")
    with open(tmp_path / "clip_mamba/models/configs/VMamba-S.json", "a") as file:
        file.write("\n")
    assert code("VMamba-S") != before[0]
    assert code("ViT-B-16") == before[1]
    with open(tmp_path / "clip_mamba/seeding.py", "a") as file:
        file.write("\n")
    assert code("ViT-B-16") != before[1]


def test_digests_cost_little():
    """Snakemake asks for them in every job."""
    for function in vars(digest).values():
        getattr(function, "cache_clear", lambda: None)()
    before = time.process_time()
    for names in digests().values():
        digest.code(*names)
    assert time.process_time() - before < 0.15


def test_a_replaced_picture_of_an_own_folder_is_noticed(tmp_path):
    picture = tmp_path / "cat" / "1.png"
    picture.parent.mkdir()
    picture.write_bytes(b"a picture")
    before = corpora.folder_state(tmp_path), tmp_path.stat().st_mtime_ns
    assert corpora.folder_state(tmp_path) == before[0]
    picture.write_bytes(b"another one")
    assert tmp_path.stat().st_mtime_ns == before[1]
    assert corpora.folder_state(tmp_path) != before[0]


def pretend(project, *targets, config):
    """Make a study look finished: empty files, and what Snakemake notes of them."""
    planned = snakemake(project, "--dry-run", "--forceall", *targets, config=config)
    assert planned.returncode == 0, planned.stderr
    text = planned.stdout + planned.stderr
    for line in re.findall(r"^    output: (.*)$", text, re.MULTILINE):
        for name in line.split(", "):
            path = project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix:
                path.touch()
            else:
                path.mkdir(exist_ok=True)
    done = snakemake(project, "--touch", "--forceall", *targets, config=config)
    assert done.returncode == 0, done.stderr


def plan(project, *targets, config):
    """The rules to run: why, unless it merely follows from another's; and how many jobs."""
    planned = snakemake(project, "--dry-run", *targets, config=config)
    assert planned.returncode == 0, planned.stderr
    jobs = re.findall(
        r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    reason: (.*)$",
        planned.stdout + planned.stderr,
        re.MULTILINE,
    )
    causes = {rule: why for rule, why in jobs if not why.startswith("Input files updated by")}
    return causes, Counter(rule for rule, _ in jobs)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    project = copy_project(tmp_path_factory.mktemp("reruns") / "clip-mamba")
    pretend(project, config=MINIATURE)
    return project


@pytest.mark.timeout(200)
def test_running_otherwise_and_a_model_more_rerun_nothing(study):
    assert plan(study, config=MINIATURE) == ({}, {})
    training = {
        **{"checkpoint_seconds": 33, "keep_checkpoints": 4, "checkpoint_steps": 9},
        **{"workers": 1, "threads": 2, "devices": 2, "wandb": "project"},
    }
    (study / "otherwise.yaml").write_text(
        yaml.safe_dump({"scales": {"demo": {"training": training}}})
    )
    configs = study / "clip_mamba/models/configs"
    (configs / "Own-Test.json").write_bytes((configs / "VMamba-Test.json").read_bytes())
    _, jobs = plan(study, config=[MINIATURE, "otherwise.yaml"])
    assert set(jobs) <= RENDERING


@pytest.mark.timeout(60)
def test_an_edited_model_is_pretrained_again_and_no_other(study):
    path = study / "clip_mamba/models/configs/VMamba-Test.json"
    before = path.read_text()
    path.write_text(json.dumps(json.loads(before)))
    _, jobs = plan(study, config=MINIATURE)
    path.write_text(before)
    assert {jobs[rule] for rule in ("pretrain", "hessian", "zeroshot", "ood")} == {1}


@pytest.mark.timeout(60)
def test_an_edited_figure_is_drawn_again_and_no_more(study):
    path = study / "clip_mamba/figures/robustness.py"
    path.write_text(path.read_text() + "\n")
    _, jobs = plan(study, config=MINIATURE)
    path.write_text((ROOT / "clip_mamba/figures/robustness.py").read_text())
    assert set(jobs) - RENDERING == PLOTTING


def edit(project, *tables):
    for table in tables:
        path = project / f"data/{table}.tsv"
        path.write_text(path.read_text() + "\n")


@pytest.mark.timeout(60)
def test_tables_of_the_corpus_make_anew_what_is_read_from_them(study):
    tables = ("emoji_categories", "zeroshot_templates", "ood_categories")
    edit(study, *tables)
    causes, _ = plan(study, config=MINIATURE)
    assert {
        table: {rule for rule, why in causes.items() if f"data/{table}.tsv" in why}
        for table in tables
    } == {
        "emoji_categories": {"build_training", "build_emoji_task"},
        "zeroshot_templates": {"build_emoji_task", "build_mnist"},
        "ood_categories": {"build_ood_base"},
    }


PAPER = """
scale: paper
downloads: {checksums: own.tsv}
"""
#: Of the paper's study, what is made from rows of tables.
ROWS = [
    *(f"zeroshot/{name}" for name in ("pets", "sun397", "cifar10")),
    *(
        "linear-probe/cifar10",
        "retrieval/flickr30k",
        "released/VMamba-B.pt",
        "released/VMamba-S.pt",
    ),
    *("ood/stimuli/colour.tar", "ood/stimuli/edge.tar", "ood/humans/edge"),
]


def replace(project, table, old, new):
    path = project / f"data/{table}.tsv"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.mark.timeout(200)
def test_an_edited_row_concerns_its_own_set(tmp_path):
    project = copy_project(tmp_path / "clip-mamba")
    (project / "paper.yaml").write_text(PAPER)
    targets = [f"results/paper/data/{row}" for row in ROWS]
    pretend(project, *targets, config="paper.yaml")
    assert plan(project, *targets, config="paper.yaml") == ({}, {})
    replace(project, "zeroshot_labels", "pets\t0 12 ", "pets\t12 0 ")
    replace(project, "zeroshot", "\tCIFAR-10\t", "\tCIFAR10\t")
    replace(project, "retrieval", "\tKarpathy test\t1000", "\tKarpathy\t1000")
    replace(project, "released", "vmambabase,", "vmamba-base,")
    replace(
        project, "ood", "edge\thttps://github.com/bethgelab", "edge\thttps://example.org/bethgelab"
    )
    causes, jobs = plan(project, *targets, config="paper.yaml")
    assert all(why.startswith("Params have changed") for why in causes.values())
    once = {"prepare_probe", "prepare_retrieval", "fetch_released", "fetch_release", "fetch_humans"}
    assert jobs == {"prepare_task": 2, "repack_release": 1, **dict.fromkeys(once, 1)}

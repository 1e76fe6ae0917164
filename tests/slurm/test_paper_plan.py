"""What the literal command plans at full size; nothing is submitted, so no Slurm is needed."""

import re
import subprocess
import time

import pytest
import yaml
import yte

from tests.slurm.conftest import COMMAND, ROOT, fill_in
from tests.workflow.conftest import copy_project


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """The plan in a fresh clone, and how long it took."""
    return plan(copy_project(tmp_path_factory.mktemp("plan") / "clip-mamba"))


def plan(clone):
    before = time.monotonic()
    done = subprocess.run([*COMMAND, "-n"], cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr, time.monotonic() - before


@pytest.fixture(scope="module")
def counts(planned):
    table = planned[0][planned[0].index("Job stats:") :]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def test_the_plan_takes_seconds_and_warns_of_nothing(planned):
    output, seconds = planned
    assert seconds < 10
    assert "arning" not in output


def test_every_job_of_the_study_is_planned_once(counts):
    study = yaml.safe_load((ROOT / "config.yaml").read_text())["scales"]["paper"]
    runs = len(study["models"]) * len(study["seeds"])
    tasks, sets, retrieval = len(study["zeroshot"]), 17, len(study["retrieval"])
    gated = {"kinetics700", "hateful-memes"} & set(study["zeroshot"])
    batches = [name for name in counts if re.fullmatch(r"zeroshot(_\d+)?", name)]
    assert (runs, tasks, retrieval) == (6, 26, 2)
    expected = {name: runs for name in ["pretrain", "ood", "hessian", "retrieval", *batches]}
    expected |= {"prepare_task": tasks, "fetch_task": tasks - len(gated)}
    expected |= {"prepare_retrieval": retrieval, "fetch_retrieval": retrieval}
    expected |= dict.fromkeys(["fetch_release", "repack_release"], sets)
    expected |= {"download_yfcc": study["corpus"]["slices"], "index_yfcc": 1}
    expected |= dict.fromkeys(["table_zeroshot", "table_ood", "table_hessian"], 1)
    expected |= dict.fromkeys(["render_report", "compile_report", "all"], 1)
    assert {name: counts.get(name) for name in expected} == expected
    assert len(batches) == -(-tasks // study["tasks_per_job"])
    assert counts["total"] == sum(n for name, n in counts.items() if name != "total")


def test_downloads_stay_where_the_internet_is():
    """A dry run does not tell local jobs from others, so the lists are compared."""
    rules = ROOT / "workflow/rules"
    texts = "\n".join(path.read_text() for path in rules.glob("*.smk"))
    fetching = {
        name for name in re.findall(r"^rule (\w+):", texts, re.MULTILINE) if "fetch" in name
    }
    text = (rules / "cluster.smk").read_text()
    local = set(re.findall(r"\w+", text.split("localrules:")[1].split("\n\n")[0]))
    profile = (ROOT / "slurm/config.yaml").read_text()
    assert fetching <= local
    moved = yte.process_yaml(
        profile.replace("transfer_partition: null", "transfer_partition: dtn"),
        require_use_yte=True,
    )["set-resources"]
    assert local <= set(moved)


def demands(planned, rule):
    """The resources of the first job of a rule."""
    block = planned[0].split(f"\nrule {rule}:")[1]
    return dict(re.findall(r"(\w+)=([^,\n]+)", block[block.index("resources:") :].split("\n")[0]))


def test_pretraining_asks_for_two_nodes_of_eight_gpus(planned):
    asked = demands(planned, "pretrain")
    assert (asked["nodes"], asked["tasks"], asked["mpi"]) == ("2", "16", "srun")
    assert "--gpus-per-node=8 --ntasks-per-node=8 --signal=USR1@" in asked["slurm_extra"]


def test_every_evaluation_asks_for_one_gpu(planned, counts):
    for name in counts:
        if re.match(r"(zeroshot|retrieval|linear_probe|ood|hessian)", name):
            assert demands(planned, name)["gpu"] == "1", name


def test_a_transfer_partition_takes_the_downloads(tmp_path):
    clone = copy_project(tmp_path / "clip-mamba")
    fill_in(clone / "slurm/config.yaml", transfer_partition="dtn")
    output, _ = plan(clone)
    for rule in ("fetch_task", "download_yfcc"):
        assert demands((output,), rule)["slurm_partition"] == "dtn"
    assert "slurm_partition" not in demands((output,), "prepare_task")


def parsed(tmp_path, **site):
    """The profile with the site's lines filled in."""
    profile = tmp_path / "config.yaml"
    profile.write_text((ROOT / "slurm/config.yaml").read_text())
    fill_in(profile, **site)
    return yte.process_yaml(profile.read_text(), require_use_yte=True)


def test_the_sites_lines_reach_every_place(tmp_path):
    profile = parsed(
        tmp_path,
        account="physics-gpu",
        qos="long",
        partition="batch",
        gpu_partition="a100",
        transfer_partition="dtn",
        gpu_type="a100",
        nodes=4,
        gpus_per_node=4,
    )
    default, special = profile["default-resources"], profile["set-resources"]
    assert default["slurm_account"] == "'physics-gpu'"
    assert (default["qos"], default["slurm_partition"]) == ("'long'", "'batch'")
    assert (special["pretrain"]["nodes"], special["pretrain"]["tasks"]) == (4, 16)
    assert "--gpus-per-node=a100:4" in special["pretrain"]["slurm_extra"]
    assert special["ood"]["gpu_model"] == "'a100'"
    assert special["ood"]["slurm_partition"] == special["pretrain"]["slurm_partition"] == "'a100'"
    assert special["fetch_task"]["slurm_partition"] == "'dtn'"
    assert profile["config"] == {"downloads": "{where: queue}"}


@pytest.mark.parametrize(("hours", "minutes"), [(24, 1440), (23.5, 1410)])
def test_hours_become_whole_minutes(tmp_path, hours, minutes):
    """Snakemake takes a number with a point for seconds."""
    asked = parsed(tmp_path, pretraining_hours=hours)["set-resources"]["pretrain"]["runtime"]
    assert (asked, type(asked)) == (minutes, int)


def test_one_gpu_needs_no_launcher(tmp_path):
    pretrain = parsed(tmp_path, nodes=1, gpus_per_node=1)["set-resources"]["pretrain"]
    assert "mpi" not in pretrain
    assert pretrain["tasks"] == 1


def rules(scale, *overrides):
    """Return the names of a scale's rules, as Snakemake itself lists them."""
    command = [COMMAND[0], "--list-rules", "--config", f"scale={scale}"]
    command += ["--configfile", "config.yaml", *overrides]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_profiles_rules_exist(counts):
    """A misspelt rule in the profile would be ignored in silence."""
    # A study has the rules that it needs: the demo has some that the paper's has not.
    known = {name for scale in ("demo", "paper") for name in rules(scale)}
    profile = yte.process_yaml((ROOT / "slurm/config.yaml").read_text(), require_use_yte=True)
    named = set(profile["set-resources"]) | set(profile["groups"])
    assert {re.sub(r"^zeroshot_\d+$", "zeroshot", name) for name in named} <= known
    assert set(profile["group-components"]) <= set(profile["groups"].values())


def test_however_many_tasks_all_have_rules_with_a_gpu(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "own" / name).mkdir(parents=True)
    task = {"folder": str(tmp_path / "own"), "templates": ["{}"]}
    own = {f"own-{n}": task for n in range(40)}
    study = {"zeroshot": [*own, "pets"], "tasks_per_job": 1}
    path = tmp_path / "many.yaml"
    path.write_text(yaml.safe_dump({"tasks": own, "scales": {"paper": study}}))
    profile = yte.process_yaml((ROOT / "slurm/config.yaml").read_text(), require_use_yte=True)
    batches = {name for name in rules("paper", str(path)) if name.startswith("zeroshot")}
    assert len(batches) > 1
    assert batches <= {name for name, asked in profile["set-resources"].items() if "gpu" in asked}

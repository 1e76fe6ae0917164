"""Where downloads run; the cores of a cluster's job; before the first such job, whether the queue
can be followed and whether a killed run left jobs in it; after a failure, anywhere, what failed and
its last words.
"""

import os

from workflow.cores import IN_A_JOB

# Compute nodes seldom reach the internet; these need little else. (download_yfcc needs many cores
# as well, and is a job in any case.)
if config["downloads"]["where"] == "here":

    localrules:
        fetch,
        fetch_humans,
        fetch_prompts,
        fetch_release,
        fetch_released,
        fetch_retrieval,
        fetch_task,
        fetch_yfcc,
        make_download_environment,


# LaTeX is rather on the login node, if anywhere; it takes seconds.
localrules:
    compile_report,


# A job of the cluster has the cores that it asked for, whatever `--cores` says (workflow/cores.py).
if workflow.remote_exec:
    os.environ[IN_A_JOB] = "1"


onstart:
    if hasattr(workflow.executor_settings, "status_command"):
        cluster.refuse_to_hang(workflow.executor_settings.status_command)
        cluster.cancel_orphans(Path.cwd())


onerror:
    print(failures.summary(Path(log[0]), Path("results/logs")), file=sys.stderr)

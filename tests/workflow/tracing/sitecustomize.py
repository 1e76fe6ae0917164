"""Python runs this at its start where it is found: each of the workflow's scripts, and all that it
starts, then notes in the folder LIBRARY_TRACE whose functions of the library it runs.

A loader puts a call in front of each function, which costs next to nothing, unlike sys.setprofile.
"""

import ast
import builtins
import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

SCRIPT = "LIBRARY_TRACE_SCRIPT"


class Loader(SourceFileLoader):
    def path_stats(self, path):
        raise OSError  # so that no altered bytecode is kept

    def source_to_code(self, data, path, **_):
        tree = ast.parse(data, path)
        # Numba could not compile the call; a package's __getattr__ only hands on names.
        for node in [] if b"numba" in data else ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name != "__getattr__":
                call = ast.parse(f"__runs__({path!r})").body
                node.body[ast.get_docstring(node) is not None : 0] = call
        return compile(ast.fix_missing_locations(tree), path, "exec")


class Finder(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        spec = PathFinder.find_spec(name, path) if name.startswith("clip_mamba") else None
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Loader(name, spec.origin)
        return spec


def importing():
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_name != "_find_and_load":
        frame = frame.f_back
    return frame is not None


def runs(path, seen=set()):  # noqa: B006 - one set a process
    if path not in seen and not importing():
        seen.add(path)
        with open(Path(os.environ["LIBRARY_TRACE"]) / os.environ[SCRIPT], "a") as file:
            file.write(f"{path}\n")


for word in sys.orig_argv:
    if ".snakemake/scripts/" in word:  # tmpabcdef.NAME.py
        os.environ[SCRIPT] = Path(word).name.split(".")[1]
if SCRIPT in os.environ and "LIBRARY_TRACE" in os.environ:
    builtins.__runs__ = runs
    sys.meta_path.insert(0, Finder())

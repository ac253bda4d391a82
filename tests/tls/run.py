#!/usr/bin/env python3
"""tests/tls/run.py - what TLS on the client port does, as rows that run against Myelin and, for proof of the rows,
against nats-server.

usage: run.py SERVER [--jobs N] [name of a case]...     (MYELIN_FLAGS: more words for its command line;
                                                         MYELIN_BENCH: the load generator, for the case that runs it)

A case is a function of rows_*.py; its docstring is what it shows. `only(...)` says on which servers it holds, and why
not on all. Each has a server of its own; with --jobs so many of them run at a time.
"""
import argparse
import concurrent.futures
import copy
import inspect
import os
import re
import subprocess
import sys
import tempfile
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rows_attacks  # noqa: E402,F401  pylint: disable=unused-import
import rows_edges  # noqa: E402,F401  pylint: disable=unused-import
import rows_negotiated  # noqa: E402,F401  pylint: disable=unused-import
import rows_ocsp_peers  # noqa: E402,F401  pylint: disable=unused-import
import rows_port  # noqa: E402,F401  pylint: disable=unused-import
import rows_staples  # noqa: E402,F401  pylint: disable=unused-import
from cases import CASES, Run  # noqa: E402
from server import Server  # noqa: E402


def level(program):
    version = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stdout
    if "Myelin" in version:
        return "myelin", None
    return "nats", tuple(int(part) for part in re.search(r"v(\d+)\.(\d+)", version).groups())


def holds(only, kind, version):
    """`only` lists "myelin", the first version of nats-server, or a first and a last: "2.9-2.11"."""
    if only is None:
        return True
    if kind == "myelin":
        return kind in only
    for first, _, last in (word.partition("-") for word in only if word != "myelin"):
        if version >= tuple(map(int, first.split("."))) and (not last or version <= tuple(map(int, last.split(".")))):
            return True
    return False


def run_case(shared, entry):
    """None, or what went wrong."""
    name, function, block, top, _, _, _ = entry
    run = copy.copy(shared)
    folder = os.path.join(shared.folder, name)
    os.mkdir(folder)
    try:
        run.server = Server(run.program, folder, run.configuration(block, top))
    except AssertionError as error:
        return f"does not start: {error}"
    problem = None
    try:
        function(run)
    except Exception:  # pylint: disable=broad-except
        problem = traceback.format_exc() + "\n" + "\n".join(run.server.lines[-15:])
    end = run.server.stop()
    if end and not problem:
        problem = end + ":\n" + "\n".join(run.server.lines[-60:])
    return problem


def chosen(wanted, run, program):
    """The cases that are to run, and how many are left out."""
    kind, version = level(program)
    cases, left = [], 0
    for entry in CASES:
        name, _, _, _, only, why, needs_bench = entry
        if wanted and name not in wanted:
            continue
        if not holds(only, kind, version):
            left += 1
            print(f"left out: {name} ({why})")
        elif needs_bench and not run.bench:
            left += 1
            print(f"left out: {name} (MYELIN_BENCH names no load generator)")
        else:
            cases.append(entry)
    return cases, left


def main():
    parser = argparse.ArgumentParser(description="The cases of TLS.")
    parser.add_argument("server")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("cases", nargs="*")
    arguments = parser.parse_intermixed_args()
    program = os.path.abspath(arguments.server)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="myelin-tls-") as folder:
        run = Run(program, folder)
        cases, left = chosen(arguments.cases, run, program)
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            for entry, problem in zip(cases, pool.map(lambda entry: run_case(run, entry), cases)):
                if problem:
                    failed += 1
                    print(f"FAILED: {entry[0]}: {inspect.getdoc(entry[1])}\n{problem}", flush=True)
    print(f"tls: {len(cases)} cases, {failed} failed, {left} left out")
    # Of cases that somebody chose there may be none that are for this server.
    return 1 if failed or not (cases or (arguments.cases and left)) else 0


if __name__ == "__main__":
    sys.exit(main())

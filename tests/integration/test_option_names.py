#!/usr/bin/env python3
"""tests/integration/test_option_names.py MYELIN [NATS_SERVER...] - no name of a configuration file is forgotten.

Every name of option_names.py goes into a file of its own, which the server is asked to check (-t). It has to take it, or to
refuse it with a sentence of its own; `unknown field` is what nobody may hear of a name that nats-server knows. Then docs/ is
held against what was found: what is taken stands in the table of its place, what is refused in the list of what is, and a
table has no name that is in no row. With nats-servers behind it the rows prove themselves: one of them has to take each.
"""
import concurrent.futures
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from option_names import FOLDER, MAIN, NATS, STAN, STREAMING, TLS  # noqa: E402

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs")
REFUSED = [(MAIN, "Not built yet"), (TLS, "Files are opened"), (STREAMING, "Refused by name")]
OURS = (MAIN, "| Option and flag")
PATIENCE = 60


def paragraph(page, start):
    """From these words to the next empty line."""
    with open(os.path.join(DOCS, page), encoding="utf-8") as file:
        text = "\n" + file.read()
    assert "\n" + start in text, f"{page} has nothing that begins with {start!r}"
    return text.split("\n" + start, 1)[1].split("\n\n", 1)[0]


def words(text):
    return {word for code in re.findall(r"`([^`]*)`", text.replace("\n", " ")) for word in re.findall(r"\b[a-z]\w+", code)}


def table_names(page, start):
    """The names in the first column."""
    lines = paragraph(page, start).split("\n")[2:]
    return set().union(*[words(line.split("|")[1]) for line in lines if "|" in line])


def check(program, number, text):
    """What the server says to this file, and whether it takes it. Warnings count as errors with -t, but take it."""
    path = os.path.join(FOLDER.name, f"{number}-{os.path.basename(os.path.dirname(program))}.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    done = subprocess.run([program, "-t", "-c", path], capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=FOLDER.name)
    said = done.stderr.replace(path + ":", "").strip()
    warned = all(": invalid use of field" in line or not line for line in said.split("\n"))
    return done.returncode == 0 or warned, said


class Names:
    def __init__(self, programs):
        self.programs, self.problems, self.asked = programs, [], 0
        self.refused = set().union(*[words(paragraph(*where)) for where in REFUSED])

    def problem(self, place, name, what):
        self.problems.append(f"{name} in {place.what}: {what}")

    def row(self, place, row, name, number):
        beside = place.beside if row.beside is None else row.beside
        text = place.block % f"{beside}\n{name}: {row.value}"
        answers = [check(program, number, text) for program in self.programs]
        return place, row, name, answers

    def judge(self, place, row, name, answers):
        """Whether it is taken, refused, or forgotten; whether docs/ says so; whether a nats-server knows it."""
        (taken, said), others = answers[0], answers[1:]
        self.asked += 1
        if not taken and ("unknown field" in said.lower() or not said):
            self.problem(place, name, f"is forgotten: {said}")
        elif taken and name not in self.documented(place):
            self.problem(place, name, "is taken, and docs/ does not say so")
        elif not taken and not {row.names.split()[0], *re.findall(r'field "(\w+)" is not supported', said)} & self.refused:
            self.problem(place, name, f"is refused ({said}), and docs/ does not say so")
        if others and not place.streaming and not row.ours and all("unknown field" in answer[1] for answer in others):
            self.problem(place, name, f"is unknown to nats-server: {others[-1][1]}")

    @staticmethod
    def documented(place):
        found = set()
        for page, start in place.said:
            found |= table_names(page, start) if start.startswith("|") else words(paragraph(page, start))
            if start == "| Option (aliases)":
                found |= table_names(*OURS)
                found |= words(paragraph(page, start)) if place.what != "the top" else set()
            elif start == "| in `cluster`" or start == "| in `gateway`":
                found |= words(paragraph(page, start)) if place.what not in ("cluster", "gateway") else set()
        return found

    def run(self):
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs, number = [], 0
            for place in NATS + STAN:
                for row in place.rows:
                    for name in row.names.split():
                        number += 1
                        jobs.append(pool.submit(self.row, place, row, name, number))
            for job in jobs:
                self.judge(*job.result())

    def known(self):
        """No table of the docs has a name that no row has."""
        tables = {where for place in NATS + STAN for where in place.said if where[1].startswith("|")} | {OURS}
        for table in tables:
            rows = {name for place in NATS + STAN for row in place.rows for name in row.names.split()
                    if table in place.said or table == OURS}
            for name in sorted(table_names(*table) - rows):
                self.problems.append(f"{name} in the table {table[1]!r} of {table[0]}: no row has it")


def main():
    names = Names([os.path.abspath(program) for program in sys.argv[1:]])
    names.run()
    names.known()
    for problem in names.problems:
        print("FAILED " + problem)
    print(f"names of options: {names.asked} asked of {len(names.programs)} servers, {len(names.problems)} wrong")
    FOLDER.cleanup()
    sys.exit(1 if names.problems or names.asked == 0 else 0)


if __name__ == "__main__":
    main()

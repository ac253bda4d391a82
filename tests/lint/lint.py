#!/usr/bin/env python3
"""House rules that no compiler knows: which folder may include which, which files may name a clock, an
allocator, atomics, threads or the ring, what is never called, and whether docs/ still tell the truth.

usage: lint.py [folder]      (default: the tree that this file stands in)

Prints `file:line: rule: what is wrong` and exits with 1 when there is any. A good reason wins against a rule:
say it where the exception is, on the same line or the line above, as

    /* lint: allocator, because realpath() hands out memory of libc's own */

Every rule is a function that takes the tree and yields findings; tests/lint/test_lint.py breaks each of them.
"""
import os
import re
import subprocess
import sys
from collections import namedtuple

Finding = namedtuple("Finding", "path line rule message")

LINES_MAX = 1000
TOP_LEVEL = {"Makefile", "core", "shards", "net", "raft", "store", "bench", "tests", "docs", "README.md", "LICENSE"}
CODE_FOLDERS = ("core", "net", "store", "raft", "shards", "bench", "tests")

# Who may include whom: docs/architecture.md 2. A folder may always include itself.
INCLUDE_EDGES = {
    "core/base": [],
    "core/loop": ["core/base"],
    "core/subject": ["core/base"],
    "core/codec": ["core/base"],
    "core/config": ["core/base", "core/codec"],
    "core/security": ["core/base", "core/subject", "core/codec", "core/config"],
    "net": ["core"],
    "store": ["core"],
    "raft": ["core", "store"],
    "shards": ["core", "net", "raft", "store"],
    "bench": ["core", "net"],
    "tests": ["core", "net", "raft", "store", "shards", "bench"],
}

# The kinds of connection share what net/session.h and the like say, not each other.
SESSION_KINDS = ("client", "route", "gateway", "leaf")

# What a line may name, in which files. `header` is what gives access, `words` what would go around it.
RESERVED = [
    # rule, files that may, header, words, said instead
    ("atomics", r"core/loop/(mailbox|wakeup)|core/base/block", r"stdatomic\.h",
     r"_Atomic|__atomic_\w+|__sync_\w+", "threads meet in mailbox, wake-up and block only"),
    ("threads", r"shards/|core/base/log\.c$", r"(pthread|threads)\.h",
     r"pthread_\w+|thrd_\w+", "threads are started by shards; nothing below knows them"),
    ("ring", r"core/loop/", r"(liburing|linux/io_uring)\.h",
     r"io_uring_\w+", "go through core/loop"),
    ("clock", r"core/base/clock\.c$", None,
     r"clock_gettime|gettimeofday|timespec_get|time|clock|ftime", "ask core/base/clock.h, or take the time as an argument"),
    ("sleep", r"bench/", None,
     r"sleep|usleep|nanosleep|clock_nanosleep", "wait by a timer of core/loop"),
    ("random", r"core/base/random\.c$", r"sys/random\.h",
     r"getrandom|getentropy|random|srandom|drand48|lrand48|arc4random\w*", "ask core/base/random.h"),
    ("allocator", r"core/base/memory\.c$", r"(malloc|jemalloc/jemalloc)\.h",
     r"malloc|calloc|realloc|reallocarray|free|aligned_alloc|posix_memalign|memalign|valloc|strdup|strndup|"
     r"asprintf|vasprintf|open_memstream|getline|getdelim", "allocate through core/base/memory.h"),
    ("process", r"shards/|bench/", None,
     r"fork|vfork|system|popen|execvp?e?|execle?|execlp|posix_spawnp?", "starting programs is not for library code"),
]

BANNED = {
    "strcpy": "copy with a length", "stpcpy": "copy with a length", "strcat": "append with a length",
    "strncat": "append with a length", "strncpy": "it may leave the text without an end",
    "sprintf": "snprintf", "vsprintf": "vsnprintf", "gets": "fgets", "alloca": "an arena or a bound",
    "atoi": "it has no errors", "atol": "it has no errors", "atoll": "it has no errors",
    "atof": "it has no errors", "strtok": "it keeps a hidden state", "rand": "core/base/random.h",
    "srand": "core/base/random.h", "tmpnam": "mkstemp", "mktemp": "mkstemp",
}


def blank(text, keep_strings=False):
    """The text with comments, strings and characters turned to spaces; lines keep their numbers."""
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''

    def spaces(match):
        piece = match.group(0)
        if keep_strings and piece[0] in "\"'":
            return piece
        return re.sub(r"[^\n]", " ", piece)

    return re.sub(pattern, spaces, text, flags=re.S)


class Tree:
    """The files that git knows or would add, with their text; each is read once."""

    def __init__(self, root):
        self.root = root
        self.texts = {}
        self.blanks = {}
        self.paths = sorted(path for path in self.list_files() if os.path.isfile(os.path.join(root, path)))

    def list_files(self):
        if not os.path.exists(os.path.join(self.root, ".git")):
            return self.walk_files()  # an unpacked archive
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        try:
            listing = subprocess.run(command, cwd=self.root, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return self.walk_files()  # no git, or it does not trust the folder's owner
        return [name for name in listing.stdout.decode().split("\0") if name]

    def walk_files(self):
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = [f for f in folders if f not in ("build", "node_modules", "__pycache__", ".git")]
            found += [os.path.relpath(os.path.join(folder, name), self.root) for name in names]
        return found

    def text(self, path):
        """The text, or None when the file is not text."""
        if path not in self.texts:
            with open(os.path.join(self.root, path), "rb") as file:
                data = file.read()
            try:
                self.texts[path] = None if b"\0" in data else data.decode()
            except UnicodeDecodeError:
                self.texts[path] = None
        return self.texts[path]

    def code(self, path):
        """A C file's text without comments and strings."""
        if path not in self.blanks:
            self.blanks[path] = blank(self.text(path) or "")
        return self.blanks[path]

    def c_files(self, *folders):
        for path in self.paths:
            if path.endswith((".c", ".h")) and path.split("/")[0] in (folders or CODE_FOLDERS):
                yield path

    def product_files(self):
        """Everything but tests, which may touch what they like."""
        return self.c_files("core", "net", "store", "raft", "shards", "bench")

    def excused(self, finding):
        if finding.path not in self.paths:
            return False  # a folder
        lines = (self.text(finding.path) or "").split("\n")
        near = lines[max(0, finding.line - 2):finding.line]
        return any(re.search(r"lint: %s, because \w+" % re.escape(finding.rule), line) for line in near)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def includes_of(tree, path):
    """(line, "" or <>, what) of each include."""
    text = blank(tree.text(path) or "", keep_strings=True)
    for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', text, re.M):
        yield line_of(text, match.start()), match.group(1), match.group(2)


def folder_of(path):
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "core" else parts[0]


def include_problem(path, target):
    """Why `path` may not include `target`, or None."""
    own, other = folder_of(path), folder_of(target)
    if target.endswith(".c"):
        return "a .c file is not included; split it instead"
    if own not in INCLUDE_EDGES:
        return "%s is not in the table of folders of tests/lint/lint.py" % own
    if other != own and not any(other == to or other.startswith(to + "/") for to in INCLUDE_EDGES[own]):
        return "%s may not include %s: includes point downwards only" % (own, other)
    if own == other == "net":
        kinds = [session_kind(path), session_kind(target)]
        if None not in kinds and kinds[0] != kinds[1]:
            return "the sessions %s and %s do not know each other" % tuple(kinds)
    if re.match(r"shards/(shard|router)\w*\.[ch]$", path) and re.match(r"shards/(control|streaming)/", target):
        return "a shard does not know the control core's services"
    return None


def session_kind(path):
    stem = re.split(r"[_.]", os.path.basename(path))[0]
    return stem if stem in SESSION_KINDS else None


def rule_includes(tree):
    for path in tree.c_files():
        for line, style, target in includes_of(tree, path):
            if style == '"':
                # A header that the build makes counts as its source.
                here = os.path.join(tree.root, re.sub(r"\.pb-c\.h$", ".proto", target))
                if target.startswith(".") or not os.path.isfile(here):
                    yield Finding(path, line, "include", '"%s" is no path from the top of the tree' % target)
                    continue
            elif target.split("/")[0] not in CODE_FOLDERS:
                continue
            elif not os.path.isfile(os.path.join(tree.root, target)):
                continue  # <net/if.h> is libc's, no file of ours
            problem = include_problem(path, target)
            if problem:
                yield Finding(path, line, "include", problem)


def rule_openssl(tree):
    for path in tree.c_files("core", "net", "store", "raft", "shards"):
        if re.match(r"core/security/|core/config/digest|store/\w*crypt|net/tls", path):
            continue
        for line, _, target in includes_of(tree, path):
            if target.startswith("openssl/"):
                yield Finding(path, line, "openssl", "OpenSSL is for core/security and net/tls*")


def rule_reserved(tree):
    for path in tree.product_files():
        code = tree.code(path)
        for rule, allowed, header, words, instead in RESERVED:
            if re.match(allowed, path):
                continue
            if header:
                for line, _, target in includes_of(tree, path):
                    if re.fullmatch(header, target):
                        yield Finding(path, line, rule, "<%s>: %s" % (target, instead))
            # A word is a call unless a dot or an arrow before it makes it a member.
            tail = r"\b" if rule == "atomics" else r"[ \t]*\("
            for match in re.finditer(r"(?<![\w.>])(?:%s)(?:%s)" % (words, tail), code):
                yield Finding(path, line_of(code, match.start()), rule,
                              "%s: %s" % (re.sub(r"\W+$", "", match.group(0)), instead))


def rule_banned(tree):
    for path in tree.c_files():
        code = tree.code(path)
        for match in re.finditer(r"(?<![\w.>])(%s)[ \t]*\(" % "|".join(BANNED), code):
            name = match.group(1)
            yield Finding(path, line_of(code, match.start()), "banned", "%s(): %s" % (name, BANNED[name]))


def rule_test_switches(tree):
    for path in tree.product_files():
        code = tree.code(path)
        for match in re.finditer(r"^[ \t]*#[ \t]*(?:el)?if[^\n]*\b((?:UNIT_?)?TEST(?:S|ING)?)\b", code, re.M):
            yield Finding(path, line_of(code, match.start()), "test-switch",
                          "product code does not know that it is tested (%s)" % match.group(1))


def rule_size(tree):
    for path in tree.paths:
        if path.split("/")[0] in CODE_FOLDERS and path.endswith((".c", ".h", ".py", ".go", ".js", ".mjs", ".sh")):
            count = (tree.text(path) or "").count("\n")
            if count > LINES_MAX:
                yield Finding(path, LINES_MAX, "size",
                              "%d lines, above %d: where is the second subject?" % (count, LINES_MAX))


def rule_opening(tree):
    for path in tree.c_files():
        first = (tree.text(path) or "").split("\n", 1)[0]
        if not first.startswith("/*"):
            yield Finding(path, 1, "opening", "a file opens with a comment: what it is for, where it stands")
            continue
        named = re.match(r"/\*\s*([\w./-]+\.[ch])\s", first)
        if named and named.group(1) != path:
            yield Finding(path, 1, "opening", "the opening comment speaks of %s" % named.group(1))


def rule_guard(tree):
    for path in tree.c_files():
        if path.endswith(".h"):
            guard = re.sub(r"\W", "_", path).upper()
            if not re.search(r"^#ifndef %s\n#define %s\n" % (guard, guard), tree.text(path) or "", re.M):
                yield Finding(path, 1, "guard", "the header's guard shall be %s" % guard)


def rule_todo(tree):
    for path in tree.paths:
        if path.startswith("tests/lint/") or path in ("LICENSE",) or tree.text(path) is None:
            continue
        for number, line in enumerate(tree.text(path).split("\n"), 1):
            if re.search(r"\b(?:TODO|FIXME|XXX)\b(?!\s*\(?#\d)", line):
                yield Finding(path, number, "todo", "needs the number of an issue: TODO #12")


def rule_docs(tree):
    """What the pages call by name must be there."""
    code = "\n".join(tree.code(path) for path in tree.c_files())
    known = set(re.findall(r"\b([A-Za-z_]\w*)[ \t]*\(", code))
    known_paths = set(tree.paths)
    for path in tree.paths:  # and every folder above it: some hold folders only
        parts = path.split("/")
        known_paths.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    for path in tree.paths:
        if not re.fullmatch(r"docs/.*\.md|README\.md", path):
            continue
        for number, line in enumerate(tree.text(path).split("\n"), 1):
            for quoted in re.findall(r"`([^`]+)`", line):
                for name in re.findall(r"^([a-z_]\w*)\(\)$", quoted):
                    if name not in known:
                        yield Finding(path, number, "docs", "no code calls or defines %s()" % name)
                for named in re.findall(r"^((?:%s|docs)/[\w./-]+?)/?$" % "|".join(CODE_FOLDERS), quoted):
                    if named not in known_paths and not known_paths & {named + ".c", named + ".h"}:
                        yield Finding(path, number, "docs", "there is no %s" % named)


def rule_machine_paths(tree):
    for path in tree.paths:
        if path.startswith("tests/lint/"):
            continue
        for number, line in enumerate((tree.text(path) or "").split("\n"), 1):
            found = re.search(r"(?<![a-zA-Z0-9.])/(?:work|farm|root|home)/\w*", line)
            if found:
                yield Finding(path, number, "machine-path", "%s is a path of one machine" % found.group(0))


def rule_top_level(tree):
    for entry in sorted({path.split("/")[0] for path in tree.paths}):
        if entry not in TOP_LEVEL and not entry.startswith("."):
            yield Finding(entry, 1, "top-level", "not in the layout: %s" % " ".join(sorted(TOP_LEVEL)))


RULES = [rule_includes, rule_openssl, rule_reserved, rule_banned, rule_test_switches, rule_size, rule_opening,
         rule_guard, rule_todo, rule_docs, rule_machine_paths, rule_top_level]


def findings_of(root):
    tree = Tree(root)
    return sorted(f for rule in RULES for f in rule(tree) if not tree.excused(f)), len(tree.paths)


def main(arguments):
    here = os.path.dirname(os.path.abspath(__file__))
    root = arguments[0] if arguments else os.path.dirname(os.path.dirname(here))
    findings, count = findings_of(root)
    for finding in findings:
        print("%s:%d: %s: %s" % finding)
    print("house rules: %d files, %d findings" % (count, len(findings)))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

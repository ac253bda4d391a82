#!/usr/bin/env python3
"""Tests of the house rules: every rule is broken once on purpose, and its exceptions are tried."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lint  # noqa: E402

EMPTY_HEADER = "/* %s - seeded. */\n#ifndef %s\n#define %s\n#endif\n"


def header(path):
    guard = path.replace("/", "_").replace(".", "_").upper()
    return EMPTY_HEADER % (path, guard, guard)


def findings(files):
    """The findings in a tree of {path: text}, as a set of (path, line, rule). A text of None is a good header;
    a .c text gets its opening comment as line 1."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            if text is None:
                text = header(path)
            elif path.endswith(".c") and not text.startswith("/*"):
                text = "/* %s - seeded. */\n%s" % (path, text)
            os.makedirs(os.path.dirname(os.path.join(root, path)) or root, exist_ok=True)
            with open(os.path.join(root, path), "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())
        return {found[:3] for found in lint.findings_of(root)[0]}


class Rows(unittest.TestCase):
    def expect(self, rule, rows):
        """rows: (path, text, line where the rule strikes or None)"""
        for path, text, line in rows:
            with self.subTest(path=path, text=text):
                expected = set() if line is None else {(path, line, rule)}
                self.assertEqual(findings({path: text}), expected)


class Includes(unittest.TestCase):
    def include(self, path, target, strikes):
        with self.subTest(path=path, target=target):
            found = findings({path: '#include "%s"\n' % target, target: None})
            self.assertEqual(found, {(path, 2, "include")} if strikes else set())

    def test_includes_point_downwards_only(self):
        for path, target, strikes in [
                ("core/base/a.c", "core/base/b.h", False),
                ("core/base/a.c", "core/loop/b.h", True),
                ("core/loop/a.c", "core/base/b.h", False),
                ("core/loop/a.c", "core/subject/b.h", True),
                ("core/subject/a.c", "core/loop/b.h", True),
                ("core/codec/a.c", "core/config/b.h", True),
                ("core/config/a.c", "core/codec/b.h", False),
                ("core/config/a.c", "core/security/b.h", True),
                ("core/security/a.c", "core/config/b.h", False),
                ("core/security/a.c", "core/loop/b.h", True),
                ("core/security/a.c", "net/b.h", True),
                ("core/novelty/a.c", "core/base/b.h", True),
                ("net/a.c", "core/loop/b.h", False),
                ("net/a.c", "shards/b.h", True),
                ("net/a.c", "store/b.h", True),
                ("store/a.c", "core/loop/b.h", False),
                ("store/a.c", "raft/b.h", True),
                ("raft/a.c", "store/b.h", False),
                ("raft/a.c", "net/b.h", True),
                ("shards/a.c", "net/b.h", False),
                ("shards/a.c", "raft/b.h", False),
                ("shards/a.c", "bench/b.h", True),
                ("bench/a.c", "net/b.h", False),
                ("bench/a.c", "shards/b.h", True),
                ("tests/unit/net/a.c", "net/b.h", False),
                ("tests/unit/net/a.c", "shards/b.h", False),
                ("shards/a.c", "tests/b.h", True)]:
            self.include(path, target, strikes)

    def test_kinds_of_session_do_not_include_each_other(self):
        self.include("net/client.c", "net/route.h", True)
        self.include("net/leaf_interest.c", "net/gateway.h", True)
        self.include("net/client.c", "net/client_permissions.h", False)
        self.include("net/client.c", "net/session.h", False)
        self.include("net/clientele.c", "net/route.h", False)

    def test_a_shard_does_not_include_the_services(self):
        self.include("shards/shard.c", "shards/control/events.h", True)
        self.include("shards/router_queue.c", "shards/streaming/service.h", True)
        self.include("shards/server.c", "shards/control/events.h", False)

    def test_a_source_is_never_included(self):
        self.include("tests/unit/net/a.c", "net/b.c", True)

    def test_angle_brackets_hide_nothing(self):
        found = findings({"core/base/a.c": "#include <net/b.h>\n#include <net/if.h>\n", "net/b.h": None})
        self.assertEqual(found, {("core/base/a.c", 2, "include")})

    def test_a_path_starts_at_the_top(self):
        for target in ("b.h", "../base/b.h", "./b.h", "core/base/missing.h"):
            found = findings({"core/base/a.c": '#include "%s"\n' % target, "core/base/b.h": None})
            self.assertEqual(found, {("core/base/a.c", 2, "include")}, target)

    def test_a_header_that_is_made_counts_as_its_source(self):
        files = {"shards/streaming/a.c": '#include "shards/streaming/b.pb-c.h"\n'}
        self.assertEqual(findings({**files, "shards/streaming/b.proto": "// shards/streaming/b.proto - seeded.\n"}), set())
        self.assertEqual(findings(files), {("shards/streaming/a.c", 2, "include")})

    def test_a_comment_includes_nothing(self):
        self.assertEqual(findings({"core/base/a.c": '/*\n#include "net/b.h"\n*/\n', "net/b.h": None}), set())


class Reserved(Rows):
    def test_atomics(self):
        self.expect("atomics", [
            ("net/a.c", "#include <stdatomic.h>\n", 2),
            ("shards/a.c", "int x;\n_Atomic int y;\n", 3),
            ("core/loop/ring.c", "int a = __atomic_load_n(&b, 0);\n", 2),
            ("core/loop/mailbox.c", "#include <stdatomic.h>\n_Atomic int y;\n", None),
            ("core/loop/wakeup_futex.c", "#include <stdatomic.h>\n", None),
            ("core/base/block.c", "#include <stdatomic.h>\n", None),
            ("tests/unit/net/a.c", "#include <stdatomic.h>\n", None)])

    def test_threads(self):
        self.expect("threads", [
            ("net/a.c", "#include <pthread.h>\n", 2),
            ("core/loop/a.c", "void f(void) { pthread_create(0); }\n", 2),
            ("bench/a.c", "#include <pthread.h>\n", 2),
            ("core/base/log.c", "#include <pthread.h>\n", None),
            ("shards/worker.c", "#include <pthread.h>\nvoid f(void) { pthread_create(0); }\n", None)])

    def test_ring(self):
        self.expect("ring", [
            ("net/a.c", "#include <liburing.h>\n", 2),
            ("shards/a.c", "#include <linux/io_uring.h>\n", 2),
            ("store/a.c", "void f(void) { io_uring_submit(r); }\n", 2),
            ("core/loop/ring.c", "#include <liburing.h>\nvoid f(void) { io_uring_submit(r); }\n", None)])

    def test_clock(self):
        self.expect("clock", [
            ("raft/a.c", "void f(void) { clock_gettime(c, &t); }\n", 2),
            ("raft/a.c", "long f(void) { return time(NULL); }\n", 2),
            ("raft/a.c", "long f(void) { return gettimeofday(&t, 0); }\n", 2),
            ("raft/a.c", "long f(void) { return event_time(e) + e->time(); }\n", None),
            ("core/base/clock.c", "void f(void) { clock_gettime(c, &t); }\n", None)])

    def test_sleep(self):
        self.expect("sleep", [("shards/a.c", "void f(void) { usleep(5); }\n", 2),
                              ("core/loop/a.c", "void f(void) { nanosleep(&t, NULL); }\n", 2),
                              ("bench/a.c", "void f(void) { nanosleep(&t, NULL); }\n", None)])

    def test_random(self):
        self.expect("random", [("net/a.c", "#include <sys/random.h>\n", 2),
                               ("raft/a.c", "long f(void) { return random(); }\n", 2),
                               ("core/base/random.c", "#include <sys/random.h>\n", None)])

    def test_allocator(self):
        for name in ("malloc", "calloc", "realloc", "free", "strdup", "asprintf", "aligned_alloc"):
            self.expect("allocator", [("net/a.c", "void f(void) { %s(x); }\n" % name, 2)])
        self.expect("allocator", [
            ("store/a.c", "#include <malloc.h>\n", 2),
            ("net/a.c", "void f(void) { memory_free(x); x->free(x); y.free(y); }\n", None),
            ("net/a.c", 'const char *s = "free(x)"; /* malloc(1) */ // free(x)\n', None),
            ("core/base/memory.c", "void f(void) { free(x); }\n", None),
            ("tests/unit/net/a.c", "void f(void) { free(x); }\n", None)])

    def test_process(self):
        self.expect("process", [("net/a.c", "void f(void) { system(x); }\n", 2),
                                ("shards/a.c", "void f(void) { fork(); }\n", None)])

    def test_openssl(self):
        self.expect("openssl", [("net/client.c", "#include <openssl/ssl.h>\n", 2),
                                ("core/config/parse.c", "#include <openssl/evp.h>\n", 2),
                                ("core/config/digest.c", "#include <openssl/evp.h>\n", None),
                                ("net/tls.c", "#include <openssl/ssl.h>\n", None),
                                ("core/security/nkey.c", "#include <openssl/evp.h>\n", None)])

    def test_a_reason_wins(self):
        self.expect("allocator", [("net/a.c", "int x;\n" + text, line) for text, line in [
            ("/* lint: allocator, because realpath() hands out libc's memory */ free(x);\n", None),
            ("/* lint: allocator, because realpath() hands out libc's memory */\nfree(x);\n", None),
            ("/* lint: allocator */ free(x);\n", 3),
            ("/* lint: allocator, because */ free(x);\n", 3),
            ("/* lint: clock, because of a reason */ free(x);\n", 3),
            ("/* lint: allocator, because it is far away */\n\nfree(x);\n", 5)]])


class Calls(Rows):
    def test_banned_calls(self):
        for name in ("strcpy", "stpcpy", "strcat", "strncat", "strncpy", "sprintf", "vsprintf", "gets", "alloca",
                     "atoi", "atol", "atoll", "atof", "strtok", "rand", "srand", "tmpnam", "mktemp"):
            self.expect("banned", [("shards/a.c", "void f(void) { %s (x); }\n" % name, 2),
                                   ("tests/unit/net/a.c", "int y;\nvoid f(void) { %s(x); }\n" % name, 3)])
        self.expect("banned", [("shards/a.c", "void f(void) { snprintf(x); fgets(x); strtok_r(x); }\n", None)])

    def test_switches_for_tests(self):
        self.expect("test-switch", [
            ("net/a.c", "#ifdef TEST\n#endif\n", 2),
            ("net/a.c", "#if defined(UNIT_TEST) && 1\n#endif\n", 2),
            ("net/a.c", "#if 0\n#elif TESTING\n#endif\n", 3),
            ("net/a.c", "#ifdef LATEST\n#endif\n", None),
            ("tests/unit/net/a.c", "#ifdef TEST\n#endif\n", None)])


class Text(Rows):
    def test_size(self):
        self.expect("size", [("net/a.c", "int x;\n" * 999, None), ("net/a.c", "int x;\n" * 1000, 1000),
                             ("tests/unit/net/a.c", "int x;\n" * 1000, 1000)])

    def test_opening_comment(self):
        self.expect("opening", [("net/a.h", header("net/a.h")[len("/* net/a.h - seeded. */\n"):], 1),
                                ("net/a.c", "/* net/b.c - moved from there. */\n", 1),
                                ("net/a.c", "/* What a is for. */\n", None)])

    def test_guard(self):
        self.expect("guard", [("net/a.h", header("net/a.h").replace("NET_A_H", "NET_B_H"), 1)])

    def test_todo(self):
        self.expect("todo", [("net/a.c", "/* TO" "DO: later */\n", 1), ("net/a.c", "/* TO" "DO #12: later */\n", None),
                             ("net/a.c", "int x; /* FIX" "ME(#7) */\n", None), ("docs/a.md", "TO" "DO\n", 1),
                             ("Makefile", "# XX" "X\n", 1)])

    def test_docs_name_what_exists(self):
        files = {"net/a.c": "void shard_complete(void);\n", "net/b.h": None, "tests/unit/net/test_a.c": None}
        for text, strikes in [("`shard_complete()`", False), ("`shard_vanished()`", True),
                              ("shard_vanished()", False), ("`net/a.c`", False), ("`net/b`", False),
                              ("`net/`", False), ("`tests/unit`", False), ("`tests/gone`", True),
                              ("`net/gone.c`", True), ("`make lint`", False)]:
            with self.subTest(text=text):
                found = findings(dict(files, **{"docs/architecture.md": "# A\n\nsee %s.\n" % text}))
                self.assertEqual(found, {("docs/architecture.md", 3, "docs")} if strikes else set())

    def test_a_name_in_a_comment_does_not_exist(self):
        found = findings({"net/a.c": "/* gone() */\n", "README.md": "`gone()`\n"})
        self.assertEqual(found, {("README.md", 1, "docs")})

    def test_machine_paths(self):
        self.expect("machine-path", [("docs/a.md", "in /wo" "rk/main/x\n", 1), ("Makefile", "x := /ro" "ot/a\n", 1),
                                     ("docs/a.md", "in docs/wo" "rk/main\n", None),
                                     ("docs/a.md", "in /etc/myelin.conf\n", None)])

    def test_top_level(self):
        self.expect("top-level", [("README.md", "", None), (".ci/run", "", None)])
        self.assertEqual(findings({"scripts/a.sh": ""}), {("scripts", 1, "top-level")})

    def test_bytes_that_are_no_text_are_left_alone(self):
        self.assertEqual(findings({"tests/fuzz/corpus/json/seed": b"\xff\0TO" b"DO"}), set())


class TheTool(unittest.TestCase):
    def test_every_rule_is_broken_by_some_test(self):
        with open(__file__.replace(".pyc", ".py"), encoding="utf-8") as file:
            text = file.read()
        names = {row[0] for row in lint.RESERVED} | {"include", "openssl", "banned", "test-switch", "size", "opening",
                                                     "guard", "todo", "docs", "machine-path", "top-level"}
        for name in names:
            self.assertIn('"%s"' % name, text.split("class TheTool")[0])

    def test_main_exits_with_one_on_findings(self):
        with tempfile.TemporaryDirectory() as root, open(os.devnull, "w", encoding="utf-8") as nowhere:
            stdout, sys.stdout = sys.stdout, nowhere
            try:
                self.assertEqual(lint.main([root]), 0)
                os.mkdir(os.path.join(root, "scripts"))
                with open(os.path.join(root, "scripts", "a.sh"), "w", encoding="utf-8"):
                    pass
                self.assertEqual(lint.main([root]), 1)
            finally:
                sys.stdout = stdout


if __name__ == "__main__":
    unittest.main()

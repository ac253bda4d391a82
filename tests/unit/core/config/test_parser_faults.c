/* tests/unit/core/config/test_parser_faults.c - the configuration parser and its digest while memory runs
 * out: ERR_MEMORY, not a sentence about the file, and nothing is left. */
#include "core/base/language.h"
#include "core/config/digest.h"
#include "core/config/parser.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum err read_file(void *context, const char *path, struct arena *arena, struct bytes *out,
                          struct config_text *why)
{
    (void)context;
    const char *content = strcmp(path, "c.conf") == 0
                              ? "port: 4222\nA = \"x\\ty\"\nnested { list: [1, 2.5, yes, $A, {b: $N}],\n"
                                "include 'd.conf'\n}\nblock: (\n text\n)\nwhen: 2020-01-02T03:04:05Z\n"
                                "address: 10.0.0.1\nbare: a\\x41b\n"
                              : "inner: \"value\"\nsize: 10MB\n";
    char *copy = arena_copy(arena, text(content));
    if (copy == NULL) {
        config_text_add(why, "read %s: out of memory", path);
        return ERR_MEMORY;
    }
    *out = text(copy);
    return ERR_OK;
}

static const char *variable(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "N") == 0 ? "[ \"of\\n\", {c: d} ]" : NULL;
}

static enum err read_and_digest(const struct config_source *source, const char *path,
                                char digest[DIGEST_TEXT_BYTES])
{
    struct config_tree tree = {0};
    struct config_text why = {0};
    enum err err = parser_read(&tree, path, source, &why);
    if (err == ERR_OK)
        err = digest_tree(tree.root, digest);
    cr_assert(err != ERR_INVALID, "memory out is no fault of the file: %s", config_text_string(&why));
    config_tree_close(&tree);
    config_text_close(&why);
    return err;
}

Test(config_faults, a_good_file_without_memory_is_not_called_wrong)
{
    char expected[DIGEST_TEXT_BYTES] = "";
    struct config_source source = {.read = read_file, .variable = variable};
    cr_assert_eq(read_and_digest(&source, "c.conf", expected), ERR_OK);
    FOR_EACH_FAULT(plan)
    {
        char digest[DIGEST_TEXT_BYTES] = "";
        enum err err = read_and_digest(&source, "c.conf", digest);
        cr_assert_eq(err, faults_met() ? ERR_MEMORY : ERR_OK, "fault %u of kind %d", plan.at, plan.kind);
        cr_assert_str_eq(digest, err == ERR_OK ? expected : "");
    }
}

/* The real source: a file larger than an arena's chunk. */
Test(config_faults, a_real_file_without_memory_is_not_called_wrong)
{
    char path[] = "/tmp/myelin-test-XXXXXX";
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    for (int i = 0; i < 400; i++)
        cr_assert_gt(dprintf(file, "option_number_%d: \"the value of it, \\t escaped\"\n", i), 0);
    close(file);
    struct config_source source = config_source_system();
    FOR_EACH_FAULT(plan)
    {
        char digest[DIGEST_TEXT_BYTES] = "";
        enum err err = read_and_digest(&source, path, digest);
        cr_assert_eq(err, faults_met() ? ERR_MEMORY : ERR_OK);
    }
    unlink(path);
}

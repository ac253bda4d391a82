/* tests/fuzz/fuzz_config.c - any bytes as a configuration: the tree, its digest, and all option rows over it.
 * Includes and variables find the same bytes again, so both get their turn without a file. */
#include "core/config/digest.h"
#include "core/config/duration.h"
#include "shards/options.h"

#include <stdlib.h>

struct input {
    struct bytes bytes;
};

static enum err read_input(void *context, const char *path, struct arena *arena, struct bytes *out,
                           struct config_text *why)
{
    (void)path;
    (void)why;
    const struct input *input = context;
    char *copy = arena_copy(arena, input->bytes);
    *out = bytes_of(copy, copy == NULL ? 0 : input->bytes.count);
    return copy == NULL ? ERR_MEMORY : ERR_OK;
}

static const char *variable(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "ARRAY") == 0 ? "[a, 5k, {b: $WORD}]" : strcmp(name, "WORD") == 0 ? "word" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {bytes_of(data, size)};
    struct config_source source = {.read = read_input, .variable = variable, .context = &input};
    char *argv[] = {(char *)"nats-server", (char *)"-c", (char *)"fuzz.conf", NULL};
    struct server_options *options, *again;
    struct options_outcome outcome;
    struct option_changes changes;
    char why[128];
    int64_t duration_ns;

    server_options_load_from(3, argv, &source, &options, &outcome);
    if (outcome.action == OPTIONS_RUN) {
        if (server_options_reload_from(options, 3, argv, &source, &again, &changes) != ERR_OK)
            abort(); /* the same bytes again change nothing */
        server_options_free(again);
        option_changes_close(&changes);
    }
    server_options_free(options);
    options_outcome_close(&outcome);
    if (duration_parse(input.bytes, &duration_ns, why, sizeof(why))) {
        char printed[DURATION_TEXT_BYTES_MAX];
        int64_t parsed_ns;
        duration_print(duration_ns, printed);
        if (!duration_parse(text(printed), &parsed_ns, why, sizeof(why)) || parsed_ns != duration_ns)
            abort();
    }
    return 0;
}

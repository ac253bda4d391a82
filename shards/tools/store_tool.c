/* shards/tools/store_tool.c - `myelin store verify|list|dump DIRECTORY`: what a person in trouble wants to
 * know of a store, without changing a byte of it. Works beside a running server too; then the end of the log
 * may be in motion. */
#include "shards/streaming/sharing.h"
#include "shards/tools/tool.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_BYTES_MAX = 64 }; /* of a message's data, unless -all is given */

static const char usage[] =
    "Usage: myelin store verify DIRECTORY\n"
    "       myelin store list DIRECTORY\n"
    "       myelin store dump [-channel NAME] [-from SEQUENCE] [-count COUNT] [-all] DIRECTORY\n"
    "    verify    read every byte, and say which file is damaged, and where\n"
    "    list      the channels, with their messages, and the records around them\n"
    "    dump      messages: channel, sequence, nanoseconds since 1970, bytes, and their beginning\n"
    "    -channel  only this one\n"
    "    -from     from this sequence on (1)\n"
    "    -count    at most that many of each channel\n"
    "    -all      the data as a whole\n"
    "Nothing is changed. The exit code is 1 when something is damaged.\n";

struct wishes {
    const char *channel;
    const char *from;
    const char *count;
    int all;
};

static bool number_of(const char *word, uint64_t otherwise, uint64_t *number)
{
    char *end = NULL;
    *number = otherwise;
    if (word == NULL)
        return true;
    *number = strtoull(word, &end, 10);
    return end != word && *end == 0 && word[0] != '-';
}

static int damaged(const struct store *store, const struct tool_streams *streams)
{
    fprintf(streams->err, "store: %s\n", store_error(store));
    return 1;
}

/* ---- verify ---- */

static enum err look_at_state(void *context, const struct store_state *state)
{
    (void)state;
    ++*(uint64_t *)context;
    return ERR_OK;
}

static bool verify_channel(struct store *store, struct store_channel *channel, uint64_t *messages)
{
    for (uint64_t s = store_sequence_from(channel, 0); s != 0; s = store_sequence_from(channel, s + 1)) {
        struct store_message message;
        if (store_lookup(store, channel, s, &message) != ERR_OK)
            return false;
        ++*messages;
    }
    return true;
}

static int verify(struct store *store, const struct tool_streams *streams)
{
    uint64_t messages = 0, entries = 0, records = 0;
    bool good = true;
    for (struct store_channel *channel = store_channel_next(store, NULL); good && channel != NULL;
         channel = store_channel_next(store, channel))
        good = verify_channel(store, channel, &messages);
    for (struct store_channel *channel = store_private_next(store, NULL); good && channel != NULL;
         channel = store_private_next(store, channel))
        good = verify_channel(store, channel, &entries); /* what the owner keeps for itself counts nowhere */
    if (!good)
        return damaged(store, streams);
    if (store_state_each(store, look_at_state, &records) != ERR_OK)
        return damaged(store, streams);
    struct store_figures figures = store_figures(store);
    fprintf(streams->out,
            "ok: %" PRIu32 " segments, %" PRIu64 " bytes, %" PRIu32 " channels, %" PRIu64
            " messages, %" PRIu64 " records\n",
            figures.segment_count, figures.log_bytes, figures.channel_count, messages, records);
    return 0;
}

/* ---- list ---- */

static enum err list_state(void *context, const struct store_state *state)
{
    static const char *const kinds[STORE_STATE_KINDS] = {"server", "client", "subscription", "other", "raft"};
    const struct tool_streams *streams = context;
    struct bytes channel = state->channel == NULL ? TEXT("-") : store_channel_name(state->channel);
    size_t bytes = 0;
    for (uint32_t i = 0; i < state->part_count; i++)
        bytes += state->parts[i].count;
    fprintf(streams->out, "%-12s  %.*s  ", kinds[state->kind], BYTES_PRINTF(channel));
    for (size_t i = 0; i < state->id.count; i++)
        fprintf(streams->out, "%02x", state->id.data[i]);
    fprintf(streams->out, "  %zu bytes in %" PRIu32 " parts\n", bytes, state->part_count);
    return ERR_OK;
}

static void list_channel(const struct store_channel *channel, const char *word,
                         const struct tool_streams *streams)
{
    struct store_channel_figures figures = store_channel_figures(channel);
    fprintf(streams->out,
            "%-12s  %.*s  first %" PRIu64 "  last %" PRIu64 "  messages %" PRIu64 "  bytes %" PRIu64
            "  subscriptions %" PRIu32 "\n",
            word, BYTES_PRINTF(store_channel_name(channel)), figures.first_sequence, figures.last_sequence,
            figures.message_count, figures.bytes, figures.subscription_count);
}

static int list(struct store *store, const struct tool_streams *streams)
{
    struct tool_streams to = *streams;
    for (struct store_channel *channel = store_channel_next(store, NULL); channel != NULL;
         channel = store_channel_next(store, channel))
        list_channel(channel, "channel", streams);
    for (struct store_channel *channel = store_private_next(store, NULL); channel != NULL;
         channel = store_private_next(store, channel))
        list_channel(channel, "private", streams);
    return store_state_each(store, list_state, &to) == ERR_OK ? 0 : damaged(store, streams);
}

/* ---- dump ---- */

/* Readable letters as they are, the rest as \x00, so that a terminal is not commanded. */
static void print_data(FILE *out, struct bytes data)
{
    for (size_t i = 0; i < data.count; i++) {
        uint8_t byte = data.data[i];
        if (byte >= ' ' && byte < 127 && byte != '\\')
            fputc(byte, out);
        else
            fprintf(out, "\\x%02x", byte);
    }
}

static int dump(struct store *store, const struct wishes *wishes, const struct tool_streams *streams)
{
    uint64_t from = 0, count = 0;
    if (!number_of(wishes->from, 1, &from) || !number_of(wishes->count, UINT64_MAX, &count)) {
        fputs(usage, streams->err);
        return 2;
    }
    if (wishes->channel != NULL && store_channel_find(store, text(wishes->channel)) == NULL) {
        fprintf(streams->err, "store: there is no channel %s\n", wishes->channel);
        return 1;
    }
    int exit_code = 0;
    for (struct store_channel *channel = store_channel_next(store, NULL); channel != NULL;
         channel = store_channel_next(store, channel)) {
        struct bytes name = store_channel_name(channel);
        if (wishes->channel != NULL && !bytes_equal(name, text(wishes->channel)))
            continue;
        uint64_t shown = 0;
        for (uint64_t s = store_sequence_from(channel, from); s != 0 && shown < count;
             s = store_sequence_from(channel, s + 1), shown++) {
            struct store_message message;
            if (store_lookup(store, channel, s, &message) != ERR_OK) { /* the others may be what is wanted */
                exit_code = damaged(store, streams);
                continue;
            }
            struct bytes data = message.data;
            bool cut = !wishes->all && data.count > SHOWN_BYTES_MAX;
            fprintf(streams->out, "%.*s %" PRIu64 " %" PRId64 " %zu ", BYTES_PRINTF(name), s,
                    message.timestamp_ns, data.count);
            print_data(streams->out, bytes_of(data.data, cut ? SHOWN_BYTES_MAX : data.count));
            fputs(cut ? "...\n" : "\n", streams->out);
        }
    }
    return exit_code;
}

/* ---- all of them ---- */

static int with_store(const char *action, const char *path, const struct wishes *wishes,
                      const struct tool_streams *streams)
{
    char why[STORE_WHY_BYTES] = "";
    struct store_files files;
    struct store *store = NULL;
    if (store_files_open_to_look(&files, path, why, sizeof why) != ERR_OK) {
        fprintf(streams->err, "store: %s\n", why);
        return 1;
    }
    struct store_options options = {
        .kind = STORE_FILE,
        .files = files,
        .read_only = true,
        .verify = strcmp(action, "verify") == 0,
    };
    struct sharing made = {0};
    struct store_sharing sharing = sharing_of(&made);
    int exit_code = 1;
    enum err err = store_open(&store, &options, 0, why, sizeof why);
    if (err == ERR_OK)
        store_set_sharing(store, &sharing);
    if (err != ERR_OK)
        fprintf(streams->err, "store: %s\n", why);
    else if (options.verify)
        exit_code = verify(store, streams);
    else if (strcmp(action, "list") == 0)
        exit_code = list(store, streams);
    else
        exit_code = dump(store, wishes, streams);
    (void)store_close(store);
    sharing_close(&made);
    store_files_close(&files);
    return exit_code;
}

int tool_store(int count, char *const arguments[], const struct tool_streams *streams)
{
    struct wishes wishes = {0};
    const struct tool_option options[] = {
        {"channel", &wishes.channel, NULL},
        {"from", &wishes.from, NULL},
        {"count", &wishes.count, NULL},
        {"all", NULL, &wishes.all},
    };
    const char *action = count > 1 ? arguments[1] : "";
    bool known = strcmp(action, "verify") == 0 || strcmp(action, "list") == 0 || strcmp(action, "dump") == 0;
    const char *path = count > 2 ? arguments[count - 1] : "-";
    bool dumps = strcmp(action, "dump") == 0;
    if (!known || path[0] == '-' || (!dumps && count > 3) ||
        tool_options_read(options, COUNT_OF(options), count - 2, arguments + 1) != NULL) {
        bool asked = count > 1 && (strcmp(action, "-h") == 0 || strcmp(action, "--help") == 0);
        fputs(usage, asked ? streams->out : streams->err);
        return asked ? 0 : 2;
    }
    return with_store(action, path, &wishes, streams);
}

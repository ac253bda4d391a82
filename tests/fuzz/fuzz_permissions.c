/* Lists of permissions and questions about them, against the plainest reading of the lists: whatever is
 * granted, no message reaches a subscription that is not allowed or that is denied. Pfoo.*    publish, allow
 * pfoo    publish, deny Sfoo.* q  subscribe, allow       sfoo q  subscribe, deny =foo.> q  a subscription
 * foo.bar a message's subject Lines with bytes that have to be escaped in a configuration are left out. */
#include "core/base/check.h"
#include "core/security/permission_cache.h"
#include "core/subject/subject.h"
#include "tests/unit/core/security/configured.h"

#include <stdio.h>

enum { LINES_MAX = 48, CONFIG_BYTES = 16 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct lines {
    struct bytes all[LINES_MAX];
    uint32_t count;
};

static bool plain(struct bytes line)
{
    for (size_t i = 0; i < line.count; i++) {
        uint8_t byte = line.data[i];
        bool blanks = byte == ' ' && (i < 2 || i + 1 == line.count || line.data[i - 1] == ' ');
        if (blanks || byte < 0x20 || byte > 0x7e || byte == '"' || byte == '\\' || byte == '$')
            return false;
    }
    return line.count > 1;
}

static void split(struct lines *lines, struct bytes input)
{
    lines->count = 0;
    for (size_t at = 0; at < input.count && lines->count < LINES_MAX;) {
        size_t end = at;
        while (end < input.count && input.data[end] != '\n')
            end++;
        struct bytes line = bytes_of(input.data + at, end - at);
        if (plain(line))
            lines->all[lines->count++] = line;
        at = end + 1;
    }
}

/* What stands behind the letter: a subject, and a queue when there is a blank. */
static void parts(struct bytes line, struct bytes *subject, struct bytes *queue)
{
    line = bytes_of(line.data + 1, line.count - 1);
    const uint8_t *blank = memchr(line.data, ' ', line.count);
    size_t count = blank == NULL ? line.count : (size_t)(blank - line.data);
    *subject = bytes_of(line.data, count);
    *queue = blank == NULL ? bytes_of(NULL, 0) : bytes_of(blank + 1, line.count - count - 1);
}

static void write_list(struct config_text *config, const struct lines *lines, uint8_t letter,
                       const char *name)
{
    config_text_add(config, "%s: [", name);
    for (uint32_t i = 0; i < lines->count; i++) {
        if (lines->all[i].data[0] == letter)
            config_text_add(config, "\"%.*s\",", (int)lines->all[i].count - 1, lines->all[i].data + 1);
    }
    config_text_add(config, "]\n");
}

static const char *configure_lists(struct configured *configured, const struct lines *lines)
{
    struct config_text config = {0};
    config_text_add(&config, "authorization { users: [ {user: u, permissions: { publish {\n");
    write_list(&config, lines, 'P', "allow");
    write_list(&config, lines, 'p', "deny");
    config_text_add(&config, "}\nsubscribe {\n");
    write_list(&config, lines, 'S', "allow");
    write_list(&config, lines, 's', "deny");
    config_text_add(&config, "} } } ] }\n");
    const char *error = configure(configured, config_text_string(&config));
    config_text_close(&config);
    return error;
}

/* Whether a list has an entry for that message: one without queue, or one for that queue. */
static bool listed(const struct lines *lines, uint8_t letter, struct bytes message, struct bytes queue,
                   bool *any)
{
    bool found = false;
    *any = false;
    for (uint32_t i = 0; i < lines->count; i++) {
        struct bytes subject, name;
        if (lines->all[i].data[0] != letter)
            continue;
        *any = true;
        parts(lines->all[i], &subject, &name);
        bool queue_fits = name.count == 0 || bytes_equal(name, queue) || subject_is_subset(queue, name);
        found = found || (queue_fits && subject_matches(subject, message));
    }
    return found;
}

static void check_message(const struct lines *lines, const struct security_permissions *permissions,
                          struct permission_cache *cache, struct bytes message)
{
    bool any, any_deny;
    struct bytes none = {0};
    bool in_allow = listed(lines, 'P', message, none, &any);
    bool in_deny = listed(lines, 'p', message, none, &any_deny);
    bool wanted = (!any || in_allow) && !in_deny;
    ASSERT(permissions_publish(permissions, message) == wanted);
    ASSERT(permission_cache_publish(cache, permissions, message) == wanted);
    ASSERT(permission_cache_publish(cache, permissions, message) == wanted);
}

/* A message that the subscription's pattern matches gets through only where the lists let it. */
static void check_subscription(const struct lines *lines, const struct security_permissions *permissions,
                               struct permission_cache *cache, struct bytes line)
{
    struct bytes subject, queue;
    parts(line, &subject, &queue);
    if (!subject_valid_pattern(subject))
        return;
    enum permission_grant grant = permissions_subscribe(permissions, subject, queue);
    for (uint32_t i = 0; i < lines->count && grant != PERMISSION_REFUSED; i++) {
        struct bytes message = lines->all[i];
        bool any, any_deny;
        if (!subject_matches(subject, message))
            continue;
        bool through = grant == PERMISSION_GRANTED || permissions_deliver(permissions, message, queue);
        if (grant == PERMISSION_FILTERED && queue.count == 0)
            ASSERT(permission_cache_deliver(cache, permissions, message) == through);
        bool in_allow = listed(lines, 'S', message, queue, &any);
        bool in_deny = listed(lines, 's', message, queue, &any_deny);
        ASSERT(!through || ((!any || in_allow) && !in_deny));
        ASSERT(through || in_deny); /* and nothing else is held back */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lines lines;
    struct configured configured;
    struct permission_cache cache = {0};
    split(&lines, bytes_of(data, size));
    if (configure_lists(&configured, &lines)[0] == 0) {
        const struct security_permissions *permissions =
            security_user_find(&configured.options.users, TEXT("u"))->permissions;
        for (uint32_t i = 0; i < lines.count; i++) {
            check_message(&lines, permissions, &cache, lines.all[i]);
            if (lines.all[i].data[0] == '=')
                check_subscription(&lines, permissions, &cache, lines.all[i]);
        }
    }
    permission_cache_close(&cache);
    configured_close(&configured);
    return 0;
}

/* tests/server/soak_model.c - what should have come: the verdicts at the end of a round. */
#include "tests/server/soak.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FAILURES_PRINTED_MAX = 25 };

enum membership { MEMBER_NEVER, MEMBER_POSSIBLE, MEMBER_CERTAIN };

/* What one queue group did with one publication. */
struct group_tally {
    uint32_t certain;
    uint32_t possible;
    uint32_t total; /* deliveries */
    uint32_t late;  /* of them, to members that joined when the publication was long confirmed */
    bool leaving;   /* a possible member unsubscribes, reaches its max or closes */
    bool closing;   /* a possible member closes: what it was sent may be lost */
};

static void subject_make(struct random *random, char *subject, size_t subject_bytes);
static void pattern_make(struct random *random, const char *subject, char *pattern, size_t pattern_bytes);
static bool pattern_matches(const char *pattern, const char *subject);
static enum membership membership(const struct soak_subscription *s, const struct soak_publication *p);
static void judge_publication(struct soak_model *model, uint32_t number);
static void judge_plain(struct soak_model *model, uint32_t number, uint32_t index, enum membership member);
static void tally_member(struct group_tally *tally, const struct soak_subscription *s,
                         const struct soak_publication *p, enum membership member, uint32_t count);
static void judge_group(struct soak_model *model, uint32_t number, uint32_t group,
                        const struct group_tally *tally);
static void judge_no_responders(struct soak_model *model, uint32_t number, bool certain, bool possible);
static void judge_max(struct soak_model *model, const struct soak_subscription *s);

void model_init(struct soak_model *model, struct random *random)
{
    model->round = 1;
    for (uint32_t i = 0; i < SUBJECTS; i++) {
        if (i < SUBJECTS - SUBJECTS_LONE) {
            subject_make(random, model->subjects[i], SUBJECT_BYTES_MAX);
        } else {
            snprintf(model->subjects[i], SUBJECT_BYTES_MAX, "lone.%c", (char)('a' + i % 26));
        }
    }
    for (uint32_t i = 0; i < PATTERNS; i++) {
        if (i < SUBJECTS - SUBJECTS_LONE / 2) {
            memcpy(model->patterns[i], model->subjects[i], SUBJECT_BYTES_MAX);
        } else {
            pattern_make(random, model->subjects[random_below(random, SUBJECTS - SUBJECTS_LONE)],
                         model->patterns[i], SUBJECT_BYTES_MAX);
        }
        for (uint32_t j = 0; j < SUBJECTS; j++) {
            model->matches[i][j] = pattern_matches(model->patterns[i], model->subjects[j]);
        }
    }
}

uint8_t model_account(const struct soak_model *model, uint32_t slot)
{
    return (uint8_t)(model->accounts == 0 ? 0 : slot % model->accounts);
}

bool model_imports(uint8_t account)
{
    return account % 2 == 1;
}

/* Whether what is published in one account is heard in another. */
static bool hears(uint8_t listener, uint8_t publisher)
{
    return listener == publisher || (model_imports(listener) && listener - 1 == publisher);
}

void model_fail(struct soak_model *model, const char *format, ...)
{
    model->failed++;
    if (model->failed > FAILURES_PRINTED_MAX) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "round %u: ", model->round);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

const uint8_t *model_payload(struct soak_model *model, uint32_t round, uint32_t number, size_t count)
{
    struct random stream;
    uint64_t words[2] = {round, number};
    random_seed(&stream, model->seed ^ ((uint64_t)round << 32) ^ number);
    for (size_t i = 0; i < count; i += sizeof(uint64_t)) {
        uint64_t word =
            i < ID_BYTES && count >= ID_BYTES ? words[i / sizeof(uint64_t)] : random_next(&stream);
        memcpy(model->expected + i, &word, count - i < sizeof(word) ? count - i : sizeof(word));
    }
    return model->expected;
}

void model_judge(struct soak_model *model)
{
    for (uint32_t number = 0; number < model->publication_count; number++) {
        judge_publication(model, number);
    }
    for (uint32_t i = 0; i < model->subscription_count; i++) {
        if (model->subscriptions[i].max != 0) {
            judge_max(model, &model->subscriptions[i]);
        }
    }
}

/* A closed connection's subscriptions stay for one more round: nothing says when the server noticed the end
 * of a connection, but a whole round of PINGs and PONGs later it has. */
void model_next_round(struct soak_model *model, int32_t moved[SUBSCRIPTIONS_MAX])
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < model->subscription_count; i++) {
        const struct soak_subscription *s = &model->subscriptions[i];
        bool gone =
            s->end_confirmed != TICK_NEVER || (s->closed_round != 0 && s->closed_round < model->round);
        moved[i] = gone ? -1 : (int32_t)kept;
        if (!gone) {
            model->subscriptions[kept++] = *s;
        }
    }
    memcpy(model->previous, model->publications, model->publication_count * sizeof(model->publications[0]));
    memset(model->seen, 0, model->publication_count * sizeof(model->seen[0]));
    model->previous_count = model->publication_count;
    model->subscription_count = kept;
    model->publication_count = 0;
    model->round++;
}

/* Two to four tokens of three letters each, so that subjects share prefixes and wildcards meet several. */
static void subject_make(struct random *random, char *subject, size_t subject_bytes)
{
    uint32_t tokens = 2 + random_below(random, 3);
    size_t count = (size_t)snprintf(subject, subject_bytes, "soak");
    for (uint32_t i = 0; i < tokens; i++) {
        count += (size_t)snprintf(subject + count, subject_bytes - count, ".%c",
                                  'a' + (int)random_below(random, 3));
    }
}

static void pattern_make(struct random *random, const char *subject, char *pattern, size_t pattern_bytes)
{
    size_t count = (size_t)snprintf(pattern, pattern_bytes, "%s", subject);
    for (size_t i = 5; i < count; i += 2) { /* behind "soak." stands a letter at every second place */
        uint32_t choice = random_below(random, 6);
        if (choice < 2) {
            pattern[i] = '*';
        } else if (choice == 2 && i > 5) {
            pattern[i] = '>';
            pattern[i + 1] = '\0';
            return;
        }
    }
}

static bool pattern_matches(const char *pattern, const char *subject)
{
    while (*pattern != '\0' && *subject != '\0') {
        if (*pattern == '>') {
            return true;
        }
        if (*pattern != '*' && *pattern != *subject) { /* all tokens but the first are one letter */
            return false;
        }
        pattern++;
        subject++;
    }
    return *pattern == *subject;
}

/* On one connection the order of operations decides; between two, what was confirmed before what was sent. */
static enum membership membership(const struct soak_subscription *s, const struct soak_publication *p)
{
    bool leaves = s->end_sent != TICK_NEVER;
    if (s->connection == p->connection) {
        if (!p->echo || s->sent > p->sent || (s->closed_round == 0 && leaves && s->end_sent < p->sent)) {
            return MEMBER_NEVER;
        }
        return !leaves || p->sent < s->end_sent ? MEMBER_CERTAIN : MEMBER_POSSIBLE;
    }
    if ((p->confirmed != TICK_NEVER && s->sent > p->confirmed) || s->end_confirmed < p->sent) {
        return MEMBER_NEVER;
    }
    bool in_before = s->confirmed < p->sent;
    bool out_after = p->confirmed != TICK_NEVER && (!leaves || p->confirmed < s->end_sent);
    return in_before && out_after ? MEMBER_CERTAIN : MEMBER_POSSIBLE;
}

static void judge_publication(struct soak_model *model, uint32_t number)
{
    const struct soak_publication *p = &model->publications[number];
    struct group_tally tallies[GROUPS] = {0};
    bool certain = false;
    bool possible = false;
    for (uint32_t i = 0; i < model->subscription_count; i++) {
        struct soak_subscription *s = &model->subscriptions[i];
        if (!model->matches[s->pattern][p->subject] || !hears(s->account, p->account)) {
            if (model->seen[number][i] != 0) {
                model_fail(model, "%s of account %u came on %s of account %u", model->subjects[p->subject],
                           p->account, model->patterns[s->pattern], s->account);
            }
            continue;
        }
        enum membership member = membership(s, p);
        if (s->max != 0 && member == MEMBER_CERTAIN) {
            s->certain += s->group == 0;
            member = MEMBER_POSSIBLE; /* it may have had all it wanted */
        }
        certain = certain || member == MEMBER_CERTAIN;
        possible = possible || member == MEMBER_POSSIBLE;
        if (s->group == 0) {
            judge_plain(model, number, i, member);
        } else {
            tally_member(&tallies[s->group], s, p, member, model->seen[number][i]);
        }
    }
    for (uint32_t group = 1; group < GROUPS; group++) {
        judge_group(model, number, group, &tallies[group]);
    }
    judge_no_responders(model, number, certain, possible);
}

static void judge_plain(struct soak_model *model, uint32_t number, uint32_t index, enum membership member)
{
    const struct soak_subscription *s = &model->subscriptions[index];
    const struct soak_publication *p = &model->publications[number];
    uint32_t count = model->seen[number][index];
    static const struct {
        uint32_t least;
        uint32_t most;
        const char *name;
    } rows[] = {
        [MEMBER_NEVER] = {0, 0, "no"},
        [MEMBER_POSSIBLE] = {0, 1, "possible"},
        [MEMBER_CERTAIN] = {1, 1, "certain"},
    };
    if (count >= rows[member].least && count <= rows[member].most) {
        model->passed++;
        model->certain_plain += member == MEMBER_CERTAIN;
        return;
    }
    model_fail(model,
               "publication %u of connection %u on %s came %u times on %s of connection %u, a %s member "
               "(published %llu to %llu; subscribed %llu to %llu, left %llu to %llu)",
               number, p->connection, model->subjects[p->subject], count, model->patterns[s->pattern],
               s->connection, rows[member].name, (unsigned long long)p->sent,
               (unsigned long long)p->confirmed, (unsigned long long)s->sent,
               (unsigned long long)s->confirmed, (unsigned long long)s->end_sent,
               (unsigned long long)s->end_confirmed);
}

static void tally_member(struct group_tally *tally, const struct soak_subscription *s,
                         const struct soak_publication *p, enum membership member, uint32_t count)
{
    tally->total += count;
    switch (member) {
    case MEMBER_NEVER:
        tally->late += count;
        return;
    case MEMBER_POSSIBLE:
        tally->possible++;
        tally->leaving = tally->leaving || s->max != 0 || s->end_sent != TICK_NEVER;
        tally->closing = tally->closing || s->closed_round != 0 || p->confirmed == TICK_NEVER;
        return;
    case MEMBER_CERTAIN:
        tally->certain++;
        return;
    }
}

/* Exactly one where all members are certain. Where somebody is leaving, a server of many threads may choose
 * again, so only strict_queues asks for exactly one then; a member whose connection closed may have taken it
 * along. */
static void judge_group(struct soak_model *model, uint32_t number, uint32_t group,
                        const struct group_tally *tally)
{
    bool tolerant = tally->leaving && !model->strict_queues;
    uint32_t least = tally->certain > 0 && !tally->closing && !tolerant ? 1 : 0;
    uint32_t most = tally->certain + tally->possible > 0 ? 1 : 0;
    if (tally->certain > 0 && tally->total == 0) {
        model->lost_to_leavers++;
    }
    if (tally->total < least || tally->total > most || (tally->late > 0 && !tolerant)) {
        model_fail(model,
                   "publication %u on %s came %u times to group %u (%u of them to strangers): %u certain, %u "
                   "possible members%s",
                   number, model->subjects[model->publications[number].subject], tally->total, group,
                   tally->late, tally->certain, tally->possible, tally->leaving ? ", some leaving" : "");
    } else if (tally->certain + tally->possible > 0) {
        model->passed++;
        model->certain_groups += least;
    }
}

static void judge_no_responders(struct soak_model *model, uint32_t number, bool certain, bool possible)
{
    const struct soak_publication *p = &model->publications[number];
    uint32_t least = p->reply && p->confirmed != TICK_NEVER && !certain && !possible ? 1 : 0;
    uint32_t most = p->reply && !certain ? 1 : 0;
    if (p->no_responders < least || p->no_responders > most) {
        model_fail(model, "publication %u on %s: %u no-responders messages, expected %u to %u", number,
                   model->subjects[p->subject], p->no_responders, least, most);
    } else if (p->reply) {
        model->passed++;
        model->certain_no_responders += least;
    }
}

/* The other side is checked on arrival: at max the sid is forgotten, so one more is a message for no sid. */
static void judge_max(struct soak_model *model, const struct soak_subscription *s)
{
    uint64_t least = s->certain < s->max ? s->certain : s->max;
    if (s->group == 0 && s->delivered < least) {
        model_fail(model, "%s of connection %u with max %u got %llu messages, at least %llu were certain",
                   model->patterns[s->pattern], s->connection, s->max, (unsigned long long)s->delivered,
                   (unsigned long long)least);
    } else {
        model->passed++;
    }
}

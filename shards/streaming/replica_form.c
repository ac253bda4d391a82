/* shards/streaming/replica_form.c - how a cluster is founded and joined (docs/streaming-cluster.md 5); what
 * its leader does about who comes and goes is in replica_change.c.
 * What is said, on subjects "_STAN.raft.<cluster>.<word>":
 *   found      1 enum standing, and in its upper six bits the number of groups less one, 8 Raft id or 0, name
 *              whoever is new or joins asks; whoever is neither answers
 *   join       8 Raft id, name; the reply is "+OK" or "-ERR <why>" the leader's; with several groups their
 *              number is a part of the subject, "join.<number>": who has another one finds nobody
 *   node.add, node.remove   a name; likewise
 *   bootstrap  8 Raft id, name                                    each seed, every second
 * Founders act only when a majority of those that they were told of is there and new as well: a node that
 * lost its disk would otherwise begin anew under an id whose votes it has forgotten. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/hash.h"
#include "shards/control/control_internal.h"
#include "shards/streaming/replica_inside.h"
#include "store/record.h"

#include <inttypes.h>
#include <stdio.h>

#define ANNOUNCE_NS (200 * NS_PER_MS)
#define ALONE_NS NS_PER_SECOND /* how long a seed listens whether the cluster is there */
#define TRY_NS NS_PER_SECOND
#define FOUNDER_SEED 0x6d79656c696eULL /* of the hash that gives founders their ids: part of the format */

enum { TRIES_MAX = 10, WORD_BYTES_MAX = 16 + RAFT_NAME_BYTES_MAX, SUBJECT_BYTES = 192, SUFFIX_BYTES = 32 };

enum standing { STANDING_NEW, STANDING_FOUNDED, STANDING_MEMBER, STANDING_JOINING };
enum { STANDING_BITS = 2, STANDING_MASK = (1 << STANDING_BITS) - 1 };
_Static_assert((int)STANDING_JOINING == (int)STANDING_MASK, "all that fits the bits is a standing");

/* A word of another node. */
struct word {
    uint64_t id;
    struct bytes name;
};

static const struct streaming_cluster_options *options_of(const struct replica *replica)
{
    return &replica->control->snapshot->options->streaming.cluster;
}

uint64_t form_founder_id(const struct replica *replica, struct bytes name)
{
    struct bytes cluster_id = text(replica->control->snapshot->options->streaming.cluster_id);
    uint64_t id = hash_bytes(name, hash_bytes(cluster_id, FOUNDER_SEED)) & RAFT_NUMBER_MAX;
    return id == 0 ? 1 : id;
}

static uint64_t random_id(struct replica *replica)
{
    uint64_t id = random_next(&replica->random) & RAFT_NUMBER_MAX;
    return id == 0 ? 1 : id;
}

/* ---- words out ---- */

static void say(struct replica *replica, const char *suffix, struct bytes reply, struct bytes body)
{
    char subject[SUBJECT_BYTES];
    /* Lost when a mailbox is full, as anywhere on the way: all of this is said again. */
    (void)!desk_publish(replica->control, 0, peers_subject(&replica->peers, suffix, subject, sizeof subject),
                        reply, &body, 1);
}

static struct bytes word_make(const struct replica *replica, uint8_t to[WORD_BYTES_MAX])
{
    size_t name_bytes = strlen(replica->name);
    put_u64(to, replica->id);
    memcpy(to + 8, replica->name, name_bytes);
    return bytes_of(to, 8 + name_bytes);
}

static bool word_read(struct bytes from, struct word *word)
{
    if (from.count <= 8 || from.count > 8 + RAFT_NAME_BYTES_MAX)
        return false;
    *word = (struct word){get_u64(from.data), bytes_of(from.data + 8, from.count - 8)};
    return word->id <= RAFT_NUMBER_MAX;
}

/* A founder counts as new until an entry of a leader is committed: whoever comes a little later founds too.
 */
static enum standing standing_of(const struct replica *replica)
{
    struct raft_status status;
    if (!replica_raft_status(replica, &status) || status.membership->count == 0)
        return replica->form.state == FORM_JOINING ? STANDING_JOINING : STANDING_NEW;
    return status.commit_index < 2 ? STANDING_FOUNDED : STANDING_MEMBER;
}

/* It has no part in a cluster, and may hear of one. */
static bool outside(enum standing standing)
{
    return standing == STANDING_NEW || standing == STANDING_JOINING;
}

static void announce(struct replica *replica)
{
    uint8_t word[1 + WORD_BYTES_MAX];
    word[0] = (uint8_t)((unsigned)standing_of(replica) | (replica->group_count - 1) << STANDING_BITS);
    struct bytes rest = word_make(replica, word + 1);
    say(replica, "found", TEXT(""), bytes_of(word, 1 + rest.count));
}

/* The subject without its prefix; `to` is room for those that are made. */
static const char *word_of(const struct replica *replica, enum form_subject subject, char to[SUFFIX_BYTES])
{
    switch (subject) {
    case FORM_ANNOUNCE:
        return "found";
    case FORM_JOINED:
        snprintf(to, SUFFIX_BYTES, "joined.%016" PRIx64, replica->id);
        return to;
    case FORM_BOOTSTRAP:
        return "bootstrap";
    case FORM_JOIN:
        if (replica->group_count == 1)
            return "join";
        snprintf(to, SUFFIX_BYTES, "join.%" PRIu32, replica->group_count);
        return to;
    case FORM_ADD:
        return "node.add";
    case FORM_REMOVE:
        return "node.remove";
    case FORM_SUBJECTS:
        break;
    }
    UNREACHABLE("a subject of no kind");
}

static void ask_to_join(struct replica *replica)
{
    uint8_t word[WORD_BYTES_MAX];
    char joined[SUFFIX_BYTES], reply[SUBJECT_BYTES], join_to[SUFFIX_BYTES];
    announce(replica); /* who is there says with how many groups */
    say(replica, word_of(replica, FORM_JOIN, join_to),
        peers_subject(&replica->peers, word_of(replica, FORM_JOINED, joined), reply, sizeof reply),
        word_make(replica, word));
}

/* ---- becoming a member ---- */

static void join(struct replica *replica)
{
    struct replica_form *form = &replica->form;
    form->state = FORM_JOINING;
    form->tries = 0;
    form->next_ns = replica->now.now_ns;
    enum err err = ERR_OK;
    if (!replica->identified) /* an id of founders has been used by nobody here: the log is empty */
        err = replica_identify(replica, random_id(replica));
    if (err == ERR_OK && !replica->runs)
        err = replica_raft_start(replica);
    if (err != ERR_OK)
        replica_abort(replica, "unable to begin the log of the cluster", err);
    log_notice(replica->control->log, "STREAM: Joining Raft group %s",
               replica->control->snapshot->options->streaming.cluster_id);
}

/* The first entry, which is the same on each founder. */
static void found(struct replica *replica)
{
    struct replica_form *form = &replica->form;
    uint64_t id =
        form->state == FORM_FOUNDING ? form_founder_id(replica, text(replica->name)) : random_id(replica);
    if (form->state == FORM_SEEDING &&
        !raft_membership_add(&form->founders, id, RAFT_VOTER, text(replica->name)))
        UNREACHABLE("the only founder is one too many");
    log_notice(replica->control->log, "STREAM: Bootstrapping Raft group %s %s",
               replica->control->snapshot->options->streaming.cluster_id,
               form->state == FORM_FOUNDING ? "using provided configuration" : "as seed node");
    enum err err = replica_identify(replica, id);
    for (uint32_t i = replica->other_count; i > 0 && err == ERR_OK; i--) {
        struct replica_log *log = &replica->others[i - 1]->log;
        err = replica_log_empty(log) ? replica_log_found(log, &form->founders) : ERR_DAMAGED;
    }
    if (err == ERR_OK) /* last: what a crash leaves of the others is dropped without it */
        err = replica_log_found(&replica->log, &form->founders);
    if (err != ERR_OK)
        replica_abort(replica, "unable to begin the log of the cluster", err);
    form->position = store_position(replica->store);
    form->state = FORM_WRITTEN;
}

static void heard_at_founding(struct replica *replica, enum standing standing, struct bytes name)
{
    struct replica_form *form = &replica->form;
    uint32_t count = 0;
    if (standing == STANDING_MEMBER) {
        join(replica);
        return;
    }
    if (form->state == FORM_SEEDING)
        return;
    const struct raft_member *member = raft_member_find(&form->founders, form_founder_id(replica, name));
    if (member == NULL)
        return;
    /* Who joins has another id than a founder's, and will not write the first entry: also not when it was new
     * before. */
    form->heard[member - form->founders.members] = standing != STANDING_JOINING;
    for (uint32_t i = 0; i < form->founders.count; i++)
        count += form->heard[i];
    if (count >= raft_membership_quorum(&form->founders))
        found(replica);
}

/* ---- the leader's side ---- */

/* A learner that has caught up votes from then on; Raft says when that is. */
void form_promote(struct replica *replica)
{
    struct raft_status status;
    raft_status(replica->driver.raft, &status);
    for (uint32_t i = 0; i < status.membership->count; i++) {
        const struct raft_member *member = &status.membership->members[i];
        if (member->role == RAFT_LEARNER && change_heard_lately(replica, &status, member->id) &&
            change_propose(replica, RAFT_CHANGE_PROMOTE, member->id, TEXT(""), NULL) == RAFT_OK)
            return;
    }
}

/* ---- words in ---- */

/* Who is outside and finds others with another number of groups can only be wrong. */
static bool groups_agree(struct replica *replica, enum standing standing, const struct word *word,
                         uint32_t group_count)
{
    struct replica_form *form = &replica->form;
    char sentence[REPLICA_WHY_BYTES];
    if (group_count == replica->group_count)
        return true;
    snprintf(sentence, sizeof sentence,
             "node \"%.*s\" has %" PRIu32 " groups of channels, and this one %" PRIu32,
             BYTES_PRINTF(word->name), group_count, replica->group_count);
    if (standing == STANDING_MEMBER && outside(standing_of(replica)))
        replica_give_up(replica, sentence);
    else if (!form->other_groups_told)
        log_error(replica->control->log, "STREAM: %s", sentence);
    form->other_groups_told = true;
    return false;
}

static void take_announcement(struct replica *replica, struct bytes payload)
{
    struct word word;
    struct replica_form *form = &replica->form;
    if (payload.count < 1 || !word_read(bytes_of(payload.data + 1, payload.count - 1), &word) ||
        bytes_equal(word.name, text(replica->name)))
        return;
    enum standing standing = (enum standing)(payload.data[0] & STANDING_MASK);
    bool agree = groups_agree(replica, standing, &word, 1U + (payload.data[0] >> STANDING_BITS));
    if (agree && (form->state == FORM_FOUNDING || form->state == FORM_SEEDING))
        heard_at_founding(replica, standing, word.name);
    else if (outside(standing) && !outside(standing_of(replica)))
        announce(replica);
}

static void take_join(struct replica *replica, const struct desk_message *message)
{
    struct word word;
    if (!word_read(message->payload, &word) || word.id == 0) {
        log_error(replica->control->log, "STREAM: Invalid join request for Raft group %s",
                  replica->control->snapshot->options->streaming.cluster_id);
        return;
    }
    change_join(replica, word.id, word.name, message->reply);
}

static void take_joined(struct replica *replica, const struct desk_message *message)
{
    if (message->nobody || replica->form.state != FORM_JOINING)
        return; /* nobody leads yet */
    if (bytes_equal(message->payload, TEXT("+OK")))
        replica->form.state = FORM_MEMBER;
    else
        log_error(replica->control->log, "STREAM: unable to join: %.*s", BYTES_PRINTF(message->payload));
}

static void take_bootstrap(struct replica *replica, struct bytes payload)
{
    struct word word;
    char sentence[REPLICA_WHY_BYTES];
    if (!word_read(payload, &word) || word.id == 0 || word.id == replica->id || replica->id == 0)
        return;
    snprintf(sentence, sizeof sentence, "Server %.*s was also started with -cluster_bootstrap",
             BYTES_PRINTF(word.name));
    uint8_t own[WORD_BYTES_MAX]; /* so that it hears of us too */
    say(replica, "bootstrap", TEXT(""), word_make(replica, own));
    replica_give_up(replica, sentence);
}

static void take(struct control *control, struct desk_listener *desk, const struct desk_message *message)
{
    struct form_listener *listener = CONTAINER_OF(desk, struct form_listener, desk);
    struct form_listener *first = listener - listener->subject;
    struct replica *replica =
        CONTAINER_OF(first, struct replica, form.listeners[0]); /* they stand in order */
    (void)control;
    (void)replica_moment(replica);
    switch (listener->subject) {
    case FORM_ANNOUNCE:
        take_announcement(replica, message->payload);
        return;
    case FORM_JOINED:
        take_joined(replica, message);
        return;
    case FORM_BOOTSTRAP:
        take_bootstrap(replica, message->payload);
        return;
    case FORM_JOIN:
        take_join(replica, message);
        return;
    case FORM_ADD:
    case FORM_REMOVE:
        change_asked(replica, listener->subject, message);
        return;
    case FORM_SUBJECTS:
        break;
    }
    UNREACHABLE("a subject of no kind");
}

/* ---- turns ---- */

static bool wanted(const struct replica *replica, enum form_subject subject)
{
    switch (subject) {
    case FORM_ANNOUNCE:
        return true;
    case FORM_JOINED:
        return replica->form.state == FORM_JOINING;
    case FORM_BOOTSTRAP:
        return replica->form.bootstrap_ns != INT64_MAX;
    case FORM_JOIN:
        return replica->leads;
    case FORM_ADD:
    case FORM_REMOVE:
        return replica->leads && options_of(replica)->allow_add_remove_node;
    case FORM_SUBJECTS:
        break;
    }
    return false;
}

/* Listens as it should; what finds no room is tried again in the next turn. */
static void follow_subjects(struct replica *replica)
{
    char suffix[SUFFIX_BYTES], subject[SUBJECT_BYTES];
    for (enum form_subject i = 0; i < FORM_SUBJECTS; i++) {
        struct form_listener *listener = &replica->form.listeners[i];
        bool listens = listener->desk.base.interest != NULL;
        enum err err = ERR_OK;
        if (listens == wanted(replica, i))
            continue;
        listener->desk.taker = take;
        listener->subject = i;
        if (listens)
            (void)!desk_unlisten(replica->control, &listener->desk);
        else
            (void)!desk_listen(
                replica->control, &listener->desk,
                peers_subject(&replica->peers, word_of(replica, i, suffix), subject, sizeof subject), &err);
    }
}

static void joining_step(struct replica *replica)
{
    struct replica_form *form = &replica->form;
    char sentence[REPLICA_WHY_BYTES];
    struct raft_status status;
    raft_status(replica->driver.raft, &status);
    /* The leader has it, though its answer was lost. Before that is committed it can be taken back. */
    if (raft_member_find(status.membership, replica->id) != NULL &&
        status.membership_index <= status.commit_index) {
        form->state = FORM_MEMBER;
        return;
    }
    form->next_ns = replica->now.now_ns + TRY_NS;
    /* Who was given peers is one of them and waits for them, as it did before it heard that they exist. */
    if (form->founders.count > 0 || form->tries++ < TRIES_MAX) {
        ask_to_join(replica);
        return;
    }
    form->next_ns = INT64_MAX;
    snprintf(sentence, sizeof sentence, "failed to join Raft group %s",
             replica->control->snapshot->options->streaming.cluster_id);
    replica_give_up(replica, sentence);
}

static void due(struct replica *replica)
{
    struct replica_form *form = &replica->form;
    switch (form->state) {
    case FORM_SEEDING:
        if (form->give_up_ns <= replica->now.now_ns) {
            found(replica);
            return;
        }
        announce(replica);
        form->next_ns = replica->now.now_ns + ANNOUNCE_NS;
        return;
    case FORM_FOUNDING:
        announce(replica);
        form->next_ns = replica->now.now_ns + ANNOUNCE_NS;
        if (form->founders.count == 1)
            found(replica);
        return;
    case FORM_JOINING:
        joining_step(replica);
        return;
    case FORM_WRITTEN:
    case FORM_MEMBER:
        form->next_ns = replica->now.now_ns + ANNOUNCE_NS;
        if (replica->leads)
            form_promote(replica);
        return;
    }
}

void form_step(struct replica *replica)
{
    struct replica_form *form = &replica->form;
    uint8_t word[WORD_BYTES_MAX];
    follow_subjects(replica);
    if (form->bootstrap_ns <= replica->now.now_ns) {
        form->bootstrap_ns = replica->now.now_ns + NS_PER_SECOND;
        if (replica->id != 0)
            say(replica, "bootstrap", TEXT(""), word_make(replica, word));
    }
    if (form->state == FORM_WRITTEN && store_acknowledged(replica->store) >= form->position) {
        form->state = FORM_MEMBER;
        enum err err = replica_raft_start(replica);
        if (err != ERR_OK)
            replica_abort(replica, "unable to begin with the log of the cluster", err);
    }
    if (form->next_ns <= replica->now.now_ns)
        due(replica);
}

int64_t form_next_ns(const struct replica *replica)
{
    const struct replica_form *form = &replica->form;
    return form->next_ns < form->bootstrap_ns ? form->next_ns : form->bootstrap_ns;
}

void form_stop(struct replica *replica)
{
    replica->form.next_ns = replica->form.bootstrap_ns = INT64_MAX;
}

/* ---- beginning ---- */

static bool founders_take(struct replica *replica)
{
    struct replica_form *form = &replica->form;
    const char *at = options_of(replica)->peers;
    struct bytes name, own = text(replica->name);
    uint32_t count = 0;
    if (!raft_membership_add(&form->founders, form_founder_id(replica, own), RAFT_VOTER, own))
        return false;
    log_notice(replica->control->log, "STREAM: Cluster known peers:");
    while (streaming_peer_next(&at, &name)) {
        if (bytes_equal(name, own))
            continue;
        log_notice(replica->control->log, "STREAM:   peer %u: \"%.*s\"", ++count, BYTES_PRINTF(name));
        if (raft_member_find(&form->founders, form_founder_id(replica, name)) == NULL &&
            !raft_membership_add(&form->founders, form_founder_id(replica, name), RAFT_VOTER, name))
            return false;
    }
    const struct raft_member *self = raft_member_find(&form->founders, form_founder_id(replica, own));
    form->heard[self - form->founders.members] = true;
    return true;
}

enum err form_start(struct replica *replica, char *why, size_t why_bytes)
{
    const struct streaming_cluster_options *options = options_of(replica);
    struct replica_form *form = &replica->form;
    const char *at = options->peers;
    struct bytes name;
    form->bootstrap_ns = options->bootstrap ? replica->now.now_ns : INT64_MAX;
    form->next_ns = replica->now.now_ns;
    if (options->peers_by_comma)
        log_warning(replica->control->log,
                    "STREAM: Peer name contains ',' make sure you provided an array of peer names, not a "
                    "string with commas");
    snprintf(why, why_bytes, "unable to begin with the log of the cluster");
    if (!replica_log_empty(&replica->log)) {
        form->state = FORM_MEMBER;
        log_notice(replica->control->log, "STREAM: Loaded existing state for Raft group %s",
                   replica->control->snapshot->options->streaming.cluster_id);
        return replica->identified ? replica_raft_start(replica) : ERR_DAMAGED;
    }
    for (uint32_t i = 0; i < replica->other_count; i++) {
        enum err err = replica_log_forget(&replica->others[i]->log);
        if (err != ERR_OK)
            return err;
    }
    if (streaming_peer_next(&at, &name)) {
        form->state = FORM_FOUNDING;
        snprintf(why, why_bytes, "the peers are not valid");
        return founders_take(replica) ? ERR_OK : ERR_INVALID;
    }
    form->state = options->bootstrap ? FORM_SEEDING : FORM_JOINING;
    form->give_up_ns = replica->now.now_ns + ALONE_NS;
    if (form->state == FORM_JOINING)
        join(replica);
    return ERR_OK;
}

/* Tests what scripts cannot say of raft/: what a machine is made from, its bounds, and memory that runs out.
 */
#include "raft/raft.h"

#include "core/base/language.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>

static struct raft_options small(void)
{
    struct raft_options options = raft_options_default();
    options.id = 1;
    options.log_entries_max = 64;
    options.trailing_entries = 0;
    options.entry_bytes_max = 100;
    options.uncommitted_bytes = 150;
    return options;
}

static struct raft_durable alone(void)
{
    struct raft_durable durable = {.hard_state = {.term = 1}};
    cr_assert(raft_membership_add(&durable.snapshot.membership, 1, RAFT_VOTER, text("")));
    return durable;
}

static struct raft *started(const struct raft_options *options, const struct raft_durable *durable)
{
    struct raft *raft;
    bool discarded;
    cr_assert_eq(raft_new(options, durable, &raft), ERR_OK);
    cr_assert_eq(raft_start(raft, durable->snapshot.index, &discarded), ERR_OK);
    cr_assert_not(discarded);
    return raft;
}

/* Everything is durable and applied at once. */
static void turn(struct raft *raft)
{
    struct raft_update update;
    struct raft_taken taken;
    for (unsigned rounds = 0; rounds < 100; rounds++) {
        raft_update(raft, &update);
        if (update.persist_seq == 0 && update.apply_count == 0)
            return;
        struct raft_event event = {.kind = RAFT_EVENT_PERSISTED, .persist_seq = update.persist_seq};
        if (update.persist_seq != 0)
            raft_step(raft, &event, &taken);
        event = (struct raft_event){.kind = RAFT_EVENT_APPLIED,
                                    .applied_index = update.apply_first + update.apply_count - 1};
        if (update.apply_count > 0)
            raft_step(raft, &event, &taken);
    }
    cr_assert_fail("it does not come to rest");
}

static struct raft *leader(const struct raft_options *options)
{
    struct raft_durable durable = alone();
    struct raft *raft = started(options, &durable);
    struct raft_event event = {.kind = RAFT_EVENT_CAMPAIGN};
    struct raft_taken taken;
    struct raft_status status;
    raft_step(raft, &event, &taken);
    turn(raft);
    raft_status(raft, &status);
    cr_assert_eq(status.role, RAFT_LEADER);
    return raft;
}

static enum raft_result propose(struct raft *raft, size_t count_bytes, struct raft_taken *taken)
{
    static const uint8_t data[200];
    static struct raft_entry entry; /* what is taken points to it */
    entry = (struct raft_entry){.kind = RAFT_ENTRY_DATA, .data = bytes_of(data, count_bytes)};
    struct raft_event event = {.kind = RAFT_EVENT_PROPOSE, .propose = {&entry, 1}};
    return raft_step(raft, &event, taken);
}

Test(raft_machine, options_are_checked)
{
    struct raft_durable durable = alone();
    struct raft *raft;
    struct raft_options good = small(), bad[] = {good, good, good, good, good, good, good, good};
    bad[0].id = 0;
    bad[1].heartbeat_ticks = good.election_ticks;
    bad[2].lease_ticks = good.election_ticks + 1;
    bad[3].log_entries_max = 65;
    bad[4].trailing_entries = 33;
    bad[5].window = RAFT_WINDOW_MAX + 1;
    bad[6].append_entries = 0;
    bad[7].candidate_ticks = good.election_ticks - 1;
    for (const struct raft_options *options = bad; options < bad + COUNT_OF(bad); options++)
        cr_expect_eq(raft_new(options, &durable, &raft), ERR_INVALID, "row %zu", (size_t)(options - bad));
    cr_assert_eq(raft_new(&good, &durable, &raft), ERR_OK);
    raft_free(raft);
}

Test(raft_machine, what_was_durable_is_checked)
{
    struct raft_options options = small();
    struct raft_durable durable = alone();
    struct raft *raft;
    durable.snapshot.index = 4;
    cr_expect_eq(raft_new(&options, &durable, &raft), ERR_INVALID, "a snapshot without a term");
    durable.snapshot.term = 2;
    durable.hard_state.term = 2;
    durable.log_first = 6;
    durable.log_before_term = 2;
    cr_expect_eq(raft_new(&options, &durable, &raft), ERR_INVALID, "an entry is missing behind the snapshot");
    durable.log_first = 5;
    cr_assert_eq(raft_new(&options, &durable, &raft), ERR_OK);
    struct raft_entry entry = {.term = 1};
    cr_expect_eq(raft_restore(raft, &entry), ERR_INVALID, "terms do not fall");
    entry = (struct raft_entry){.term = 2, .kind = RAFT_ENTRY_MEMBERSHIP, .data = text("nonsense")};
    cr_expect_eq(raft_restore(raft, &entry), ERR_INVALID, "no membership");
    bool discarded;
    cr_expect_eq(raft_start(raft, 3, &discarded), ERR_INVALID, "less applied than the snapshot holds");
    raft_free(raft);
}

/* It stopped between making the snapshot durable and making the log begin behind it. */
Test(raft_machine, a_log_that_does_not_hold_the_snapshots_entry_is_discarded)
{
    struct raft_options options = small();
    struct raft_durable durable = alone();
    struct raft *raft;
    struct raft_status status;
    struct raft_entry entry = {.term = 1};
    bool discarded;
    durable.hard_state.term = 3;
    durable.snapshot.index = 2;
    durable.snapshot.term = 3;
    cr_assert_eq(raft_new(&options, &durable, &raft), ERR_OK);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(raft_restore(raft, &entry), ERR_OK);
    cr_assert_eq(raft_start(raft, 2, &discarded), ERR_OK);
    cr_expect(discarded);
    raft_status(raft, &status);
    cr_expect_eq(status.first_index, 3);
    cr_expect_eq(status.last_index, 2);
    raft_free(raft);
}

Test(raft_machine, entries_without_the_hard_state_behind_them_bring_their_term)
{
    struct raft_options options = small();
    struct raft_durable durable = alone();
    struct raft *raft;
    struct raft_status status;
    struct raft_entry entry = {.term = 7};
    bool discarded;
    durable.hard_state.voted_for = 2;
    cr_assert_eq(raft_new(&options, &durable, &raft), ERR_OK);
    cr_assert_eq(raft_restore(raft, &entry), ERR_OK);
    cr_assert_eq(raft_start(raft, 0, &discarded), ERR_OK);
    raft_status(raft, &status);
    cr_expect_eq(status.term, 7);
    cr_expect_eq(status.voted_for, 0);
    raft_free(raft);
}

/* It stopped when the snapshot that it was sent was durable, and its leader's term was not. (Found by the
 * simulator.) */
Test(raft_machine, a_snapshot_without_the_hard_state_brings_its_term)
{
    struct raft_options options = small();
    struct raft_durable durable = alone();
    struct raft_status status;
    durable.hard_state.voted_for = 2;
    durable.snapshot.index = 3;
    durable.snapshot.term = 4;
    durable.log_first = 4;
    durable.log_before_term = 4;
    struct raft *raft = started(&options, &durable);
    raft_status(raft, &status);
    cr_expect_eq(status.term, 4);
    cr_expect_eq(status.voted_for, 0);
    cr_expect_eq(status.commit_index, 3);
    raft_free(raft);
}

Test(raft_machine, proposals_are_bounded_by_bytes)
{
    struct raft_options options = small();
    struct raft *raft = leader(&options);
    struct raft_taken taken;
    cr_expect_eq(propose(raft, 101, &taken), RAFT_INVALID, "above entry_bytes_max");
    cr_expect_eq(propose(raft, 100, &taken), RAFT_OK);
    cr_expect_eq(taken.first_index, 2);
    cr_expect_eq(taken.entry_count, 1);
    cr_expect_eq(taken.entries[0].term, 2);
    cr_expect_eq(propose(raft, 51, &taken), RAFT_BUSY, "above uncommitted_bytes");
    cr_expect_eq(propose(raft, 50, &taken), RAFT_OK);
    turn(raft);
    cr_expect_eq(propose(raft, 100, &taken), RAFT_OK, "what is committed counts no more");
    raft_free(raft);
}

Test(raft_machine, proposals_are_bounded_by_half_the_log)
{
    struct raft_options options = small();
    struct raft *raft = leader(&options);
    struct raft_taken taken;
    for (unsigned i = 0; i < 32; i++)
        cr_assert_eq(propose(raft, 0, &taken), RAFT_OK, "%u", i);
    cr_expect_eq(propose(raft, 0, &taken), RAFT_BUSY);
    raft_free(raft);
}

Test(raft_machine, reads_are_bounded)
{
    struct raft_options options = small();
    struct raft *raft = leader(&options);
    struct raft_event event = {.kind = RAFT_EVENT_READ};
    struct raft_taken taken;
    struct raft_update update;
    for (unsigned i = 0; i < RAFT_READS_MAX; i++) {
        event.read_id = i;
        cr_assert_eq(raft_step(raft, &event, &taken), RAFT_OK);
    }
    cr_expect_eq(raft_step(raft, &event, &taken), RAFT_BUSY);
    raft_update(raft, &update);
    cr_assert_eq(update.read_count, RAFT_READS_MAX);
    for (unsigned i = 0; i < RAFT_READS_MAX; i++) {
        cr_expect_eq(update.reads[i].id, i);
        cr_expect_eq(update.reads[i].index, 1);
        cr_expect_not(update.reads[i].failed);
    }
    raft_free(raft);
}

Test(raft_machine, a_full_log_asks_for_a_snapshot_and_goes_on)
{
    struct raft_options options = small();
    options.snapshot_entries = 0;
    struct raft *raft = leader(&options);
    struct raft_taken taken;
    struct raft_update update;
    unsigned snapshots = 0;
    for (unsigned i = 0; i < 1000; i++) {
        cr_assert_eq(propose(raft, 1, &taken), RAFT_OK, "entry %u", i);
        raft_update(raft, &update);
        struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_TAKEN};
        if (update.take_snapshot != NULL) {
            event.snapshot.index = update.take_snapshot->index;
            event.snapshot.size_bytes = 1;
            cr_assert_eq(raft_step(raft, &event, &taken), RAFT_OK);
            snapshots++;
        }
        event = (struct raft_event){.kind = RAFT_EVENT_PERSISTED, .persist_seq = update.persist_seq};
        raft_step(raft, &event, &taken);
        turn(raft);
    }
    cr_expect_gt(snapshots, 10);
    raft_free(raft);
}

Test(raft_machine, after_a_failed_disk_nothing_is_done)
{
    struct raft_options options = small();
    struct raft *raft = leader(&options);
    struct raft_taken taken;
    struct raft_update update;
    struct raft_event event = {.kind = RAFT_EVENT_PERSIST_FAILED};
    cr_assert_eq(propose(raft, 1, &taken), RAFT_OK);
    cr_expect_eq(raft_step(raft, &event, &taken), RAFT_OK);
    cr_expect_eq(propose(raft, 1, &taken), RAFT_FAILED);
    raft_update(raft, &update);
    cr_expect_eq(update.persist_seq, 0);
    cr_expect_eq(update.message_count, 0);
    cr_expect_eq(update.apply_count, 0);
    raft_free(raft);
}

Test(raft_machine, founders_begin_with_one_entry)
{
    struct raft_membership founders = {0}, decoded;
    uint8_t data[RAFT_MEMBERSHIP_BYTES_MAX];
    cr_assert(raft_membership_add(&founders, 3, RAFT_VOTER, text("c")));
    cr_assert(raft_membership_add(&founders, 1, RAFT_VOTER, text("a")));
    struct raft_entry entry = raft_bootstrap_entry(&founders, data);
    cr_expect_eq(entry.term, 1);
    cr_expect_eq(entry.kind, RAFT_ENTRY_MEMBERSHIP);
    cr_assert(raft_membership_decode(entry.data, &decoded));
    cr_expect(raft_membership_equal(&founders, &decoded));
}

Test(raft_machine, without_memory_there_is_none)
{
    struct raft_options options = small();
    struct raft_durable durable = alone();
    FOR_EACH_FAULT(plan)
    {
        struct raft *raft;
        enum err err = raft_new(&options, &durable, &raft);
        cr_assert(err == ERR_OK || (err == ERR_MEMORY && faults_met() && raft == NULL));
        raft_free(raft);
    }
}

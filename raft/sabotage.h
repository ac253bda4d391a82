/* raft/sabotage.h - rules that can be broken on purpose, to prove that the simulator notices (tests/sim).
 * Outside its build RAFT_BROKEN() is a constant 0 and nothing of this is left. */
#ifndef RAFT_SABOTAGE_H
#define RAFT_SABOTAGE_H

#include "raft/raft.h"

enum raft_rule {
    RAFT_RULE_COMMIT_OWN_TERM, /* paper 5.4.2, figure 8: only entries of the own term commit by counting */
    RAFT_RULE_PERSIST_VOTE,    /* figure 2: term and vote are durable before an answer */
    RAFT_RULE_PERSIST_ENTRIES, /* figure 2: entries are durable before they are acknowledged */
    RAFT_RULE_ONE_VOTE,        /* 5.2: one vote per term */
    RAFT_RULE_UP_TO_DATE,      /* 5.4.1: vote for no shorter log */
    RAFT_RULE_PREVIOUS_ENTRY,  /* 5.3: entries follow one that both have */
    RAFT_RULE_TRUNCATE_ON_CONFLICT, /* 5.3: a conflict, and only that, removes what is behind it */
    RAFT_RULE_QUORUM,               /* a majority, not one less */
    RAFT_RULE_COMMIT_WITHIN_MATCH,  /* a follower commits only what it knows to be the leader's */
    RAFT_RULE_ONE_CHANGE,           /* dissertation 4.1: one change of members at a time */
    RAFT_RULE_READ_ROUND,           /* dissertation 6.4: a majority confirms before a read is answered */
    RAFT_RULE_READ_OWN_TERM,        /* and the leader has committed in its own term */
    RAFT_RULES,
};

#if MYELIN_RAFT_SABOTAGE
#define RAFT_BROKEN(raft, rule) (((raft)->options.broken_rules >> (rule)) & 1)
#else
#define RAFT_BROKEN(raft, rule) ((void)(raft), 0)
#endif

#endif

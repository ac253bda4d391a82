/* core/subject/mapping.h - the mappings of an account: what is published on one subject is published on
 * another one instead (spec/security.md 6).
 * In the flow:  configuration -> mapping_compile() || router: mappings_apply() before permissions and
 * interest The first mapping whose source matches is applied, once: what it yields is not mapped again.
 * Immutable, in the arena of its snapshot, read by any thread. Cost: a message tries the sources one after
 * the other, so an account without mappings pays one comparison and one with many pays for each; what was
 * decided for one control line is kept by the router when it is `steady`. */
#ifndef CORE_SUBJECT_MAPPING_H
#define CORE_SUBJECT_MAPPING_H

#include "core/subject/transform.h"

enum { MAPPING_WEIGHT_WHOLE = 100 };

/* As the configuration has it. */
struct mapping_destination {
    struct bytes subject;
    struct bytes cluster; /* empty: for servers whose cluster is not among the others' */
    uint8_t weight;       /* percent */
};

struct mapping_target {
    const struct transform *transform; /* NULL: the message is published as it is */
    struct bytes cluster;              /* empty: of servers whose cluster has no targets of its own */
    uint8_t up_to;                     /* taken when the draw is below, of the same cluster's in this order */
};

struct mapping {
    struct bytes source;
    const struct mapping_target *targets;
    uint32_t target_count;
    bool wildcard;  /* in the source */
    bool clustered; /* some targets are for a cluster */
    bool steady;    /* the same subject always becomes the same: no draw, no cluster's name that may change */
};

struct mappings {
    const struct mapping *all;
    uint32_t count;
};

/* Compiles one. `plain`: a single destination was given as a string (its weight is 100), so that a refusal
 * names it. False: `why` has the sentence, of nats-server, behind "Error adding mapping for ". */
MUST_USE bool mapping_compile(struct mapping *mapping, struct bytes source,
                              const struct mapping_destination *destinations, uint32_t count, bool plain,
                              struct arena *arena, char *why, size_t why_bytes);

/* The mapping for a subject, or NULL. */
const struct mapping *mappings_find(const struct mappings *mappings, struct bytes subject);

enum mapping_result {
    MAPPING_SAME, /* publish as it is */
    MAPPING_TO,   /* publish on `out` */
    MAPPING_LOST, /* to nobody: the draw fell beside all destinations, or the new subject is too long */
};

/* What becomes of a subject that mappings_find() found this mapping for, on a server of the cluster with that
 * name (empty: of none): its cluster's targets count when there are any, else those for no cluster. `out` has
 * `capacity` bytes. */
enum mapping_result mapping_apply(const struct mapping *mapping, struct bytes subject, struct bytes cluster,
                                  struct random *random, uint8_t *out, size_t capacity, size_t *count);

#endif

/* core/subject/mapping.c - see mapping.h. */
#include "core/subject/mapping.h"

#include "core/subject/subject.h"

#include <stdio.h>

enum { TROUBLE_BYTES = 512 };

static bool fail_duplicate(const struct mapping_destination *destinations, uint32_t count,
                           struct bytes source, char *why, size_t why_bytes)
{
    for (uint32_t i = 1; i < count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (!bytes_equal(destinations[i].subject, destinations[j].subject))
                continue;
            snprintf(why, why_bytes, "\"%.*s\" : duplicate entry for \"%.*s\"", BYTES_PRINTF(source),
                     BYTES_PRINTF(destinations[i].subject));
            return true;
        }
    }
    return false;
}

/* How much of 100 the destinations of one cluster share out. */
static uint32_t weight_of(const struct mapping_destination *destinations, uint32_t count,
                          struct bytes cluster)
{
    uint32_t weight = 0;
    for (uint32_t i = 0; i < count; i++)
        weight += bytes_equal(destinations[i].cluster, cluster) ? destinations[i].weight : 0;
    return weight;
}

/* How many are for a cluster. */
static uint32_t named_count(const struct mapping_destination *destinations, uint32_t count)
{
    uint32_t named = 0;
    for (uint32_t i = 0; i < count; i++)
        named += destinations[i].cluster.count > 0;
    return named;
}

static bool source_listed(const struct mapping_destination *destinations, uint32_t count, struct bytes source)
{
    for (uint32_t i = 0; i < count; i++) {
        if (bytes_equal(destinations[i].subject, source))
            return true;
    }
    return false;
}

static bool drawn(const struct transform *transform)
{
    for (uint32_t i = 0; i < transform->part_count; i++) {
        if (transform->parts[i].function == TRANSFORM_RANDOM)
            return true;
    }
    return false;
}

/* A source listed among its own destinations: its `*` stand for themselves. */
static enum transform_error destination_compile(const struct transform **transform, struct bytes source,
                                                struct bytes destination, struct arena *arena,
                                                struct transform_trouble *trouble)
{
    if (bytes_equal(source, destination) && subject_has_wildcard(source)) {
        struct bytes numbered = transform_numbered(source, arena);
        if (numbered.data == NULL)
            return trouble->error = TRANSFORM_MEMORY;
        return transform_compile(transform, source, numbered, TRANSFORM_FOR_MAPPING, arena, trouble);
    }
    return transform_compile(transform, source, destination, TRANSFORM_FOR_MAPPING, arena, trouble);
}

bool mapping_compile(struct mapping *mapping, struct bytes source,
                     const struct mapping_destination *destinations, uint32_t count, bool plain,
                     struct arena *arena, char *why, size_t why_bytes)
{
    struct mapping_target *targets = arena_new(arena, (2 * (size_t)count + 1) * sizeof *targets);
    char *copy = arena_copy(arena, source);
    if (targets == NULL || copy == NULL) {
        snprintf(why, why_bytes, "\"%.*s\" : out of memory", BYTES_PRINTF(source));
        return false;
    }
    *mapping = (struct mapping){.source = bytes_of(copy, source.count), .targets = targets};
    mapping->wildcard = subject_has_wildcard(source);
    uint32_t named = named_count(destinations, count);
    mapping->clustered = named > 0;
    mapping->steady = count <= 1 && !mapping->clustered;
    if (fail_duplicate(destinations, count, source, why, why_bytes))
        return false;
    bool lossy = source_listed(destinations, count, source);
    for (uint32_t i = 0; i < count; i++) {
        const struct mapping_destination *from = &destinations[i];
        struct mapping_target *target = &targets[mapping->target_count++];
        struct transform_trouble trouble;
        if (destination_compile(&target->transform, source, from->subject, arena, &trouble) != TRANSFORM_OK) {
            char text[TROUBLE_BYTES];
            transform_trouble_text(&trouble, text, sizeof text);
            if (plain)
                snprintf(why, why_bytes, "\"%.*s\" to \"%.*s\" : %s", BYTES_PRINTF(source),
                         BYTES_PRINTF(from->subject), text);
            else
                snprintf(why, why_bytes, "\"%.*s\" : %s", BYTES_PRINTF(source), text);
            return false;
        }
        char *cluster = arena_copy(arena, from->cluster);
        target->cluster = cluster == NULL ? (struct bytes){0} : bytes_of(cluster, from->cluster.count);
        uint32_t up_to = weight_of(destinations, i + 1, from->cluster);
        if (up_to > MAPPING_WEIGHT_WHOLE || cluster == NULL) {
            snprintf(why, why_bytes, "\"%.*s\" : %s", BYTES_PRINTF(source),
                     cluster == NULL ? "out of memory" : "total weight needs to be <= 100");
            return false;
        }
        target->up_to = (uint8_t)up_to;
        mapping->steady = mapping->steady && up_to == MAPPING_WEIGHT_WHOLE && !drawn(target->transform);
        /* Behind a cluster's last destination: what is left of 100 keeps the subject. */
        bool last = weight_of(destinations, count, from->cluster) == up_to &&
                    weight_of(destinations + i + 1, count - i - 1, from->cluster) == 0;
        if (last && up_to < MAPPING_WEIGHT_WHOLE && !lossy)
            targets[mapping->target_count++] =
                (struct mapping_target){.cluster = target->cluster, .up_to = MAPPING_WEIGHT_WHOLE};
    }
    /* In no cluster that is named, and there is nothing for the others: the subject stays. */
    if (named > 0 && named == count && !lossy)
        targets[mapping->target_count++] = (struct mapping_target){.up_to = MAPPING_WEIGHT_WHOLE};
    return true;
}

const struct mapping *mappings_find(const struct mappings *mappings, struct bytes subject)
{
    for (uint32_t i = 0; i < mappings->count; i++) {
        const struct mapping *mapping = &mappings->all[i];
        if (mapping->wildcard ? subject_matches(mapping->source, subject)
                              : bytes_equal_short(mapping->source, subject))
            return mapping;
    }
    return NULL;
}

/* Whose targets count on a server of that cluster. */
static struct bytes group_of(const struct mapping *mapping, struct bytes cluster)
{
    for (uint32_t i = 0; mapping->clustered && i < mapping->target_count; i++) {
        if (bytes_equal(mapping->targets[i].cluster, cluster))
            return cluster;
    }
    return (struct bytes){NULL, 0};
}

enum mapping_result mapping_apply(const struct mapping *mapping, struct bytes subject, struct bytes cluster,
                                  struct random *random, uint8_t *out, size_t capacity, size_t *count)
{
    uint32_t draw = mapping->steady ? 0 : random_below(random, MAPPING_WEIGHT_WHOLE);
    struct bytes group = group_of(mapping, cluster);
    for (uint32_t i = 0; i < mapping->target_count; i++) {
        const struct mapping_target *target = &mapping->targets[i];
        if (draw >= target->up_to || !bytes_equal(target->cluster, group))
            continue;
        if (target->transform == NULL)
            return MAPPING_SAME;
        *count = transform_apply(target->transform, subject, random, out, capacity);
        return *count == 0 ? MAPPING_LOST : MAPPING_TO;
    }
    return mapping->target_count == 0 ? MAPPING_SAME : MAPPING_LOST;
}

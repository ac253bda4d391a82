/* core/security/account_mappings.c - the `mappings` block, of an account or of the top level for $G, with the
 * sentences of nats-server (spec/configuration.md 4.7, spec/security.md 6); see account.h. */
#include "core/config/parser.h"
#include "core/security/account.h"
#include "core/subject/subject.h"

enum { WHY_BYTES = 1024 };

static uint32_t item_count(const struct config_value *value)
{
    uint32_t count = 0;
    for (const struct config_entry *item = value->entries.first; item != NULL; item = item->next)
        count++;
    return count;
}

/* An integer, or "20%". */
static void read_weight(struct mapping_destination *destination, const struct config_entry *entry,
                        struct option_errors *errors)
{
    char shown[80];
    int64_t weight = 0;
    if (entry->value->kind == CONFIG_INTEGER) {
        weight = entry->value->integer;
    } else if (entry->value->kind == CONFIG_STRING) {
        struct bytes digits = entry->value->string;
        bool range;
        if (digits.count > 0 && digits.data[digits.count - 1] == '%')
            digits.count--;
        if (digits.count == 0 || !config_integer_parse(digits, &weight, &range)) {
            option_fail(errors, entry->position, "Invalid weight \"%.*s\" for mapping destination",
                        BYTES_PRINTF(digits));
            return;
        }
    } else {
        config_value_show(entry->value, shown, sizeof shown);
        option_fail(errors, entry->position, "Unknown entry type for weight of %s", shown);
        return;
    }
    if (weight < 0 || weight > MAPPING_WEIGHT_WHOLE)
        option_fail(errors, entry->position, "Invalid weight %lld for mapping destination",
                    (long long)weight);
    else
        destination->weight = (uint8_t)weight;
}

/* {destination, weight, cluster}. False: something is wrong, and noted. */
static bool read_destination(struct mapping_destination *destination, const struct config_entry *item,
                             struct option_errors *errors)
{
    size_t before = errors->errors.count;
    bool weighed = false;
    if (item->value->kind != CONFIG_MAP) {
        option_fail(errors, item->position, "Expected an entry for the mapping destination");
        return false;
    }
    for (const struct config_entry *at = item->value->entries.first; at != NULL; at = at->next) {
        if (option_name_in("destination dest", at->key, true)) {
            if (option_want(errors, at, CONFIG_STRING))
                destination->subject = at->value->string;
        } else if (option_name_in("cluster", at->key, true)) {
            if (option_want(errors, at, CONFIG_STRING))
                destination->cluster = at->value->string;
        } else if (option_name_in("weight", at->key, true)) {
            weighed = true;
            read_weight(destination, at, errors);
        } else if (!at->referenced) {
            option_fail(errors, at->position, "Unknown field \"%.*s\" for mapping destination",
                        BYTES_PRINTF(at->key));
        }
    }
    if (!weighed && errors->errors.count == before)
        option_fail(errors, item->position, "Missing weight for mapping destination \"%.*s\"",
                    BYTES_PRINTF(destination->subject));
    return errors->errors.count == before;
}

/* One pair of the block. */
static bool read_mapping(struct mapping *mapping, const struct config_entry *entry, struct arena *arena,
                         struct option_errors *errors)
{
    char why[WHY_BYTES];
    struct mapping_destination single = {.weight = MAPPING_WEIGHT_WHOLE};
    struct mapping_destination *destinations = &single;
    uint32_t count = 1;
    bool good = true;
    if (entry->value->kind == CONFIG_STRING) {
        single.subject = entry->value->string;
    } else if (entry->value->kind == CONFIG_MAP) {
        good = read_destination(&single, entry, errors);
    } else if (entry->value->kind == CONFIG_ARRAY) {
        count = item_count(entry->value);
        destinations = arena_new(arena, count * sizeof *destinations);
        if (destinations == NULL) {
            option_fail(errors, entry->position, "out of memory");
            return false;
        }
        struct mapping_destination *next = destinations;
        for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next)
            good = read_destination(next++, item, errors) && good;
    } else {
        option_fail(errors, entry->position, "Expected an entry for the mapping destination");
        return false;
    }
    if (!good)
        return false;
    bool plain = entry->value->kind == CONFIG_STRING;
    if (mapping_compile(mapping, entry->key, destinations, count, plain, arena, why, sizeof why))
        return true;
    option_fail(errors, entry->position, "Error adding mapping for %s", why);
    return false;
}

void security_mappings_parse(struct mappings *mappings, const struct config_entry *entry, struct arena *arena,
                             struct option_errors *errors)
{
    if (!option_want(errors, entry, CONFIG_MAP))
        return;
    struct mapping *all = arena_new(arena, item_count(entry->value) * sizeof *all);
    uint32_t count = 0;
    if (all == NULL) {
        option_fail(errors, entry->position, "out of memory");
        return;
    }
    for (const struct config_entry *at = entry->value->entries.first; at != NULL; at = at->next) {
        if (!subject_valid_pattern(at->key))
            option_fail(errors, entry->position, "Subject \"%.*s\" is not a valid subject",
                        BYTES_PRINTF(at->key));
        else if (read_mapping(&all[count], at, arena, errors))
            count++;
    }
    *mappings = (struct mappings){all, count};
}

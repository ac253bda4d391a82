/* tests/fuzz/fuzz_accounts.c - two targets in one, chosen by the first byte of the input.
 *   even: source, destination and subject, a line each: a transform is compiled for a mapping and for an
 * import, applied into buffers of every size, and an import's is taken back odd:  the rest as a configuration
 * of accounts: what is accepted must be whole, its imports must find the way there and back, and the same
 * file again must keep all ids What differs aborts. Seeds: tests/fuzz/corpus/accounts. */
#include "core/security/options.h"
#include "core/subject/subject.h"
#include "tests/unit/core/security/configured.h"

#include <stdio.h>
#include <stdlib.h>

enum { SUBJECT_MAX = 512, OUT_MAX = 4096, FILE_MAX = 64 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "fuzz_accounts: %s\n", what);
    abort();
}

static struct bytes next_line(struct bytes *rest)
{
    const uint8_t *newline = rest->count == 0 ? NULL : memchr(rest->data, '\n', rest->count);
    struct bytes line = bytes_of(rest->data, newline == NULL ? rest->count : (size_t)(newline - rest->data));
    size_t used = newline == NULL ? rest->count : line.count + 1;
    *rest = bytes_of(used == 0 ? rest->data : rest->data + used, rest->count - used);
    return line;
}

/* What fits a buffer is the same in every one that is large enough. */
static void check_apply(const struct transform *transform, struct bytes subject)
{
    uint8_t out[OUT_MAX], small[OUT_MAX];
    struct random random = {1};
    size_t count = transform_apply(transform, subject, &random, out, sizeof out);
    if (count == 0)
        return;
    random.state = 1;
    must(transform_apply(transform, subject, &random, small, count) == count,
         "exactly enough room is enough");
    must(memcmp(out, small, count) == 0, "the same draw gives the same");
    random.state = 1;
    must(transform_apply(transform, subject, &random, small, count - 1) == 0, "less is too little");
}

/* There and back is where it was. */
static void check_inverse(const struct transform *transform, struct bytes subject, struct arena *arena)
{
    uint8_t there[OUT_MAX], back[OUT_MAX];
    const struct transform *inverse = transform_inverse(transform, arena);
    must(inverse != NULL, "an import's transform has an inverse");
    struct bytes local = transform_pattern(transform->destination, arena);
    must(local.data != NULL && subject_valid_pattern(local), "what it yields is a pattern");
    if (!subject_matches(transform->source, subject))
        return;
    size_t count = transform_apply(transform, subject, NULL, there, sizeof there);
    if (count == 0)
        return;
    must(subject_matches(local, bytes_of(there, count)), "what it yields is in its pattern");
    size_t again = transform_apply(inverse, bytes_of(there, count), NULL, back, sizeof back);
    must(bytes_equal(bytes_of(back, again), subject), "there and back");
}

static void fuzz_transform(struct bytes rest)
{
    struct bytes source = next_line(&rest);
    struct bytes destination = next_line(&rest);
    struct bytes subject = next_line(&rest);
    if (source.count > SUBJECT_MAX || destination.count > SUBJECT_MAX || subject.count > SUBJECT_MAX)
        return;
    for (int use = 0; use < 2; use++) {
        struct arena arena = {0};
        struct transform_trouble trouble;
        const struct transform *transform = NULL;
        char sentence[2 * SUBJECT_MAX];
        enum transform_use wanted = use == 0 ? TRANSFORM_FOR_MAPPING : TRANSFORM_FOR_IMPORT;
        if (transform_compile(&transform, source, destination, wanted, &arena, &trouble) == TRANSFORM_OK) {
            check_apply(transform, subject);
            if (use == 1)
                check_inverse(transform, subject, &arena);
        } else {
            transform_trouble_text(&trouble, sentence, sizeof sentence);
            must(sentence[0] != 0, "a refusal has a sentence");
        }
        arena_close(&arena);
    }
}

static void check_account(const struct security_accounts *accounts, const struct security_account *account,
                          struct arena *arena)
{
    must(security_account_find(accounts, account->name) != NULL, "an account is found by its name");
    for (uint32_t i = 0; i < account->stream_import_count; i++) {
        const struct stream_import *import = &account->stream_imports[i];
        must(subject_valid_pattern(import->local), "an import's local subject is a pattern");
        must((import->forward == NULL) == (import->backward == NULL), "both ways or none");
        if (import->forward != NULL)
            check_inverse(import->forward, import->subject, arena);
    }
    for (uint32_t i = 0; i < account->service_import_count; i++) {
        const struct service_import *import = &account->service_imports[i];
        must(import->exported != NULL && subject_is_subset(import->subject, import->exported->subject),
             "a service is imported within its export");
        must(import->exported->threshold_ns > 0, "an export has a threshold");
    }
    for (uint32_t i = 0; i < account->mappings.count; i++)
        must(mappings_find(&account->mappings, account->mappings.all[i].source) != NULL,
             "a mapping is found by its source");
}

static void fuzz_configuration(struct bytes rest)
{
    char file[FILE_MAX];
    struct configured first, second;
    if (rest.count >= sizeof file || (rest.count > 0 && memchr(rest.data, 0, rest.count) != NULL))
        return;
    if (rest.count > 0)
        memcpy(file, rest.data, rest.count);
    file[rest.count] = 0;
    if (configure(&first, file)[0] == 0) {
        const struct security_accounts *accounts = &first.options.accounts;
        must(accounts->count >= 1 && bytes_equal(accounts->all[0]->name, TEXT("$G")), "$G is there");
        for (uint32_t i = 0; i < accounts->count; i++)
            check_account(accounts, accounts->all[i], &first.arena);
        must(configure(&second, file)[0] == 0, "the same file again is as good");
        must(security_accounts_inherit(&second.options.accounts, accounts, &second.arena) == ERR_OK,
             "memory");
        must(second.options.accounts.next_id == accounts->next_id, "no account is new");
        for (uint32_t i = 0; i < accounts->count; i++)
            must(second.options.accounts.all[i]->id == accounts->all[i]->id, "ids stay");
        configured_close(&second);
    }
    configured_close(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] % 2 == 0)
        fuzz_transform(bytes_of(data + 1, size - 1));
    else
        fuzz_configuration(bytes_of(data + 1, size - 1));
    return 0;
}

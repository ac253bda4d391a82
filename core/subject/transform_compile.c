/* core/subject/transform_compile.c - reading a transform's two subjects; see transform.h. A destination's
 * token is a literal, "$n", or "{{function(arguments)}}"; the case of the functions' capitals is free. */
#include "core/base/check.h"
#include "core/subject/subject.h"
#include "core/subject/tokens.h"
#include "core/subject/transform.h"

#include <stdio.h>
#include <strings.h>

enum { ARGUMENTS_MAX = TRANSFORM_TOKENS_MAX + 1 };

/* What the compiler knows of the source. */
struct source {
    uint16_t stars[TRANSFORM_TOKENS_MAX]; /* the token of each `*` */
    uint32_t star_count;
    uint32_t token_count; /* without the `>` */
    bool rest;
};

/* What a function takes: its name, and how its arguments are read. */
static const struct signature {
    const char *name;
    enum transform_function function;
} signatures[] = {
    {"wildcard", TRANSFORM_WILDCARD},
    {"partition", TRANSFORM_PARTITION},
    {"random", TRANSFORM_RANDOM},
    {"splitfromleft", TRANSFORM_SPLIT_LEFT},
    {"splitfromright", TRANSFORM_SPLIT_RIGHT},
    {"slicefromleft", TRANSFORM_SLICE_LEFT},
    {"slicefromright", TRANSFORM_SLICE_RIGHT},
    {"split", TRANSFORM_SPLIT},
    {"left", TRANSFORM_LEFT},
    {"right", TRANSFORM_RIGHT},
};

struct arguments {
    struct bytes at[ARGUMENTS_MAX];
    uint32_t count;
};

/* One token while it is read: which wildcards it names is not yet checked against the source. */
struct reading {
    enum transform_function function;
    int64_t number;
    struct bytes text;
    int64_t wildcards[ARGUMENTS_MAX];
    uint32_t wildcard_count;
};

static struct bytes trim(struct bytes bytes)
{
    while (bytes.count > 0 && (bytes.data[0] == ' ' || bytes.data[0] == '\t'))
        bytes = bytes_of(bytes.data + 1, bytes.count - 1);
    while (bytes.count > 0 && (bytes.data[bytes.count - 1] == ' ' || bytes.data[bytes.count - 1] == '\t'))
        bytes.count--;
    return bytes;
}

/* A decimal number with an optional sign; false: none, or out of 32 bits. */
static bool read_number(struct bytes digits, int64_t *number)
{
    bool negative = digits.count > 0 && digits.data[0] == '-';
    size_t at = negative || (digits.count > 0 && digits.data[0] == '+') ? 1 : 0;
    int64_t value = 0;
    if (at == digits.count)
        return false;
    for (; at < digits.count; at++) {
        if (digits.data[at] < '0' || digits.data[at] > '9')
            return false;
        value = value * 10 + (digits.data[at] - '0');
        if (value > INT32_MAX)
            return false;
    }
    *number = negative ? -value : value;
    return true;
}

/* Between the outer brackets: cut at commas. One empty argument is what "f()" has. */
static bool read_arguments(struct bytes inside, struct arguments *arguments)
{
    arguments->count = 0;
    for (size_t start = 0; start <= inside.count;) {
        size_t end = start;
        while (end < inside.count && inside.data[end] != ',')
            end++;
        if (arguments->count == ARGUMENTS_MAX)
            return false;
        arguments->at[arguments->count++] = bytes_of(inside.data + start, end - start);
        start = end + 1;
        while (end < inside.count && start < inside.count && inside.data[start] == ' ')
            start++; /* blanks behind a comma belong to it */
    }
    return true;
}

/* wildcard(i) */
static enum transform_error read_wildcard(const struct arguments *arguments, struct reading *reading)
{
    if (arguments->count > 1)
        return TRANSFORM_TOO_MANY_ARGUMENTS;
    if (arguments->at[0].count == 0)
        return TRANSFORM_TOO_FEW_ARGUMENTS;
    reading->wildcard_count = 1;
    return read_number(trim(arguments->at[0]), &reading->wildcards[0]) ? TRANSFORM_OK
                                                                       : TRANSFORM_BAD_ARGUMENT;
}

/* partition(n), partition(n, i, j..) */
static enum transform_error read_partition(const struct arguments *arguments, struct reading *reading)
{
    for (uint32_t i = 0; i < arguments->count; i++) {
        int64_t *to = i == 0 ? &reading->number : &reading->wildcards[i - 1];
        if (!read_number(trim(arguments->at[i]), to))
            return TRANSFORM_BAD_ARGUMENT;
    }
    reading->wildcard_count = arguments->count - 1;
    if (arguments->count == 1)
        reading->function = TRANSFORM_PARTITION_ALL;
    return TRANSFORM_OK;
}

/* random(n); nats-server calls a second argument "not enough" too. */
static enum transform_error read_random(const struct arguments *arguments, struct reading *reading)
{
    if (arguments->count != 1)
        return TRANSFORM_TOO_FEW_ARGUMENTS;
    return read_number(trim(arguments->at[0]), &reading->number) ? TRANSFORM_OK : TRANSFORM_BAD_ARGUMENT;
}

/* split(i, separator) and f(i, n) */
static enum transform_error read_pair(const struct arguments *arguments, struct reading *reading)
{
    if (arguments->count < 2)
        return TRANSFORM_TOO_FEW_ARGUMENTS;
    if (arguments->count > 2)
        return TRANSFORM_TOO_MANY_ARGUMENTS;
    reading->wildcard_count = 1;
    if (!read_number(trim(arguments->at[0]), &reading->wildcards[0]))
        return TRANSFORM_BAD_ARGUMENT;
    if (reading->function != TRANSFORM_SPLIT)
        return read_number(trim(arguments->at[1]), &reading->number) ? TRANSFORM_OK : TRANSFORM_BAD_ARGUMENT;
    reading->text = arguments->at[1];
    bool blank = reading->text.count > 0 && memchr(reading->text.data, ' ', reading->text.count) != NULL;
    return blank ? TRANSFORM_BAD_ARGUMENT : TRANSFORM_OK;
}

static const struct signature *signature_find(struct bytes name)
{
    for (size_t i = 0; i < COUNT_OF(signatures); i++) {
        if (strlen(signatures[i].name) == name.count &&
            strncasecmp(signatures[i].name, (const char *)name.data, name.count) == 0)
            return &signatures[i];
    }
    return NULL;
}

/* "{{ name ( arguments ) }}" */
static enum transform_error read_function(struct bytes token, struct reading *reading)
{
    struct arguments arguments;
    struct bytes inside = trim(bytes_of(token.data + 2, token.count - 4));
    const uint8_t *open = inside.count == 0 ? NULL : memchr(inside.data, '(', inside.count);
    if (open == NULL || inside.data[inside.count - 1] != ')')
        return TRANSFORM_UNKNOWN_FUNCTION;
    const struct signature *found = signature_find(trim(bytes_of(inside.data, (size_t)(open - inside.data))));
    if (found == NULL)
        return TRANSFORM_UNKNOWN_FUNCTION;
    if (!read_arguments(bytes_of(open + 1, (size_t)(inside.data + inside.count - open) - 2), &arguments))
        return TRANSFORM_TOO_MANY_ARGUMENTS;
    reading->function = found->function;
    if (found->function == TRANSFORM_WILDCARD)
        return read_wildcard(&arguments, reading);
    if (found->function == TRANSFORM_PARTITION)
        return read_partition(&arguments, reading);
    if (found->function == TRANSFORM_RANDOM)
        return read_random(&arguments, reading);
    return read_pair(&arguments, reading);
}

static enum transform_error read_token(struct bytes token, struct reading *reading)
{
    *reading = (struct reading){.function = TRANSFORM_LITERAL, .text = token};
    if (token.count > 1 && token.data[0] == '$') {
        /* "$JS" and the like stand for themselves */
        if (read_number(bytes_of(token.data + 1, token.count - 1), &reading->wildcards[0])) {
            reading->function = TRANSFORM_WILDCARD;
            reading->wildcard_count = 1;
        }
        return TRANSFORM_OK;
    }
    bool braces = token.count > 4 && bytes_start_with(token, TEXT("{{")) &&
                  token.data[token.count - 2] == '}' && token.data[token.count - 1] == '}';
    return braces ? read_function(token, reading) : TRANSFORM_OK;
}

static bool source_read(struct source *source, struct bytes subject)
{
    *source = (struct source){0};
    for (size_t start = 0, end; start <= subject.count; start = end + 1) {
        end = token_end(subject, start);
        struct bytes token = token_of(subject, start, end);
        if (source->token_count == TRANSFORM_TOKENS_MAX)
            return false;
        if (token_is(token, '>')) {
            source->rest = true;
            return true;
        }
        if (token_is(token, '*'))
            source->stars[source->star_count++] = (uint16_t)source->token_count;
        source->token_count++;
    }
    return true;
}

/* What is read becomes a part. */
static enum transform_error part_make(struct transform_part *part, const struct reading *reading,
                                      const struct source *source, struct arena *arena,
                                      struct transform_trouble *trouble)
{
    uint16_t *tokens = NULL;
    bool takes_subject = reading->wildcard_count > 0;
    if (takes_subject && source->star_count == 0)
        return TRANSFORM_OUT_OF_RANGE;
    if (takes_subject) {
        tokens = arena_new(arena, reading->wildcard_count * sizeof *tokens);
        if (tokens == NULL)
            return TRANSFORM_MEMORY;
    }
    for (uint32_t i = 0; i < reading->wildcard_count; i++) {
        int64_t wildcard = reading->wildcards[i];
        trouble->index = wildcard;
        if (wildcard > source->star_count)
            return TRANSFORM_OUT_OF_RANGE;
        tokens[i] =
            wildcard < 1 ? 0 : source->stars[wildcard - 1]; /* $0: the first token, as in nats-server */
    }
    *part = (struct transform_part){
        .function = reading->function,
        .number = (int32_t)reading->number,
        .tokens = tokens,
        .token_count = reading->wildcard_count,
    };
    char *text = arena_copy(arena, reading->text);
    if (text == NULL)
        return TRANSFORM_MEMORY;
    part->text = bytes_of(text, reading->text.count);
    return TRANSFORM_OK;
}

/* Of the part that was made last: whether it names a `*` that no other part names. */
static enum transform_error import_check(const struct transform *made, const struct reading *reading)
{
    const struct transform_part *last = &made->parts[made->part_count];
    if (last->function != TRANSFORM_WILDCARD)
        return TRANSFORM_OK;
    if (reading->wildcards[0] < 1)
        return TRANSFORM_OUT_OF_RANGE;
    for (uint32_t i = 0; i < made->part_count; i++) {
        if (made->parts[i].function == TRANSFORM_WILDCARD && made->parts[i].tokens[0] == last->tokens[0])
            return TRANSFORM_USED_TWICE;
    }
    return TRANSFORM_OK;
}

/* All tokens of the destination but its `>`. */
static enum transform_error parts_make(struct transform *made, struct bytes destination,
                                       const struct source *source, enum transform_use use,
                                       struct arena *arena, struct transform_trouble *trouble)
{
    uint32_t used = 0;
    size_t most = subject_token_count(destination);
    struct transform_part *parts = arena_new(arena, most * sizeof *parts);
    if (parts == NULL)
        return TRANSFORM_MEMORY;
    made->parts = parts;
    for (size_t start = 0, end; start <= destination.count; start = end + 1) {
        struct reading reading;
        end = token_end(destination, start);
        trouble->token = token_of(destination, start, end);
        trouble->index = 0;
        if (token_is(trouble->token, '>'))
            break; /* the last one */
        enum transform_error error = read_token(trouble->token, &reading);
        bool import = reading.function == TRANSFORM_LITERAL || reading.function == TRANSFORM_WILDCARD;
        if (error == TRANSFORM_OK && use == TRANSFORM_FOR_IMPORT && !import)
            error = TRANSFORM_NOT_FOR_IMPORTS;
        if (error == TRANSFORM_OK)
            error = part_make(&parts[made->part_count], &reading, source, arena, trouble);
        if (error == TRANSFORM_OK && use == TRANSFORM_FOR_IMPORT)
            error = import_check(made, &reading);
        if (error != TRANSFORM_OK)
            return error;
        used += reading.wildcard_count;
        made->part_count++;
    }
    trouble->token = destination;
    return use == TRANSFORM_FOR_IMPORT && used < source->star_count ? TRANSFORM_NOT_ALL_USED : TRANSFORM_OK;
}

static enum transform_error compile(struct transform *made, enum transform_use use, struct bytes destination,
                                    struct arena *arena, struct transform_trouble *trouble)
{
    struct source source;
    bool star = false;
    bool rest = false;
    if (use == TRANSFORM_FOR_MAPPING && !subject_valid_pattern(destination))
        return TRANSFORM_BAD_DESTINATION;
    if (!subject_valid_pattern(made->source) || !subject_valid_pattern(destination) ||
        !source_read(&source, made->source))
        return TRANSFORM_BAD_SUBJECT;
    for (size_t start = 0, end; start <= destination.count; start = end + 1) {
        end = token_end(destination, start);
        star = star || token_is(token_of(destination, start, end), '*');
        rest = token_is(token_of(destination, start, end), '>');
    }
    if (star || rest != source.rest)
        return TRANSFORM_BAD_SUBJECT;
    made->rest = rest;
    made->rest_from = source.token_count;
    made->tokens_needed = source.token_count;
    return parts_make(made, destination, &source, use, arena, trouble);
}

enum transform_error transform_compile(const struct transform **transform, struct bytes source,
                                       struct bytes destination, enum transform_use use, struct arena *arena,
                                       struct transform_trouble *trouble)
{
    *trouble = (struct transform_trouble){.token = destination};
    struct transform *made = arena_new(arena, sizeof *made);
    char *source_copy = arena_copy(arena, source);
    char *destination_copy = arena_copy(arena, destination);
    if (made == NULL || source_copy == NULL || destination_copy == NULL)
        return trouble->error = TRANSFORM_MEMORY;
    made->source = bytes_of(source_copy, source.count);
    made->destination = bytes_of(destination_copy, destination.count);
    trouble->error = compile(made, use, destination, arena, trouble);
    if (trouble->error == TRANSFORM_OK)
        *transform = made;
    return trouble->error;
}

/* ---- the way back ---- */

/* Whether a token of a destination takes a wildcard, and which. */
static bool takes_wildcard(struct bytes token, int64_t *wildcard)
{
    struct reading reading;
    if (read_token(token, &reading) != TRANSFORM_OK || reading.function != TRANSFORM_WILDCARD)
        return false;
    *wildcard = reading.wildcards[0];
    return true;
}

struct bytes transform_pattern(struct bytes destination, struct arena *arena)
{
    char *out = arena_new(arena, destination.count + 1); /* "$n" only gets shorter */
    size_t count = 0;
    if (out == NULL)
        return (struct bytes){NULL, 0};
    for (size_t start = 0, end; start <= destination.count; start = end + 1) {
        int64_t wildcard;
        end = token_end(destination, start);
        struct bytes token = token_of(destination, start, end);
        if (takes_wildcard(token, &wildcard))
            token = TEXT("*");
        if (token.count > 0)
            memcpy(out + count, token.data, token.count);
        count += token.count;
        if (end < destination.count)
            out[count++] = '.';
    }
    return bytes_of(out, count);
}

struct bytes transform_numbered(struct bytes pattern, struct arena *arena)
{
    size_t capacity = pattern.count + 12 * subject_token_count(pattern);
    char *out = arena_new(arena, capacity + 1);
    size_t count = 0;
    unsigned number = 0;
    if (out == NULL)
        return (struct bytes){NULL, 0};
    for (size_t start = 0, end; start <= pattern.count; start = end + 1) {
        end = token_end(pattern, start);
        struct bytes token = token_of(pattern, start, end);
        if (token_is(token, '*'))
            count += (size_t)snprintf(out + count, capacity + 1 - count, "$%u", ++number);
        else if (token.count > 0)
            count = (size_t)((char *)mempcpy(out + count, token.data, token.count) - out);
        if (end < pattern.count)
            out[count++] = '.';
    }
    return bytes_of(out, count);
}

/* Which token of what the transform yields holds the subject's token `index`. */
static uint16_t holder_of(const struct transform *transform, uint32_t index)
{
    for (uint32_t i = 0; i < transform->part_count; i++) {
        if (transform->parts[i].function == TRANSFORM_WILDCARD && transform->parts[i].tokens[0] == index)
            return (uint16_t)i;
    }
    UNREACHABLE("an import's transform uses every `*` of its source");
}

/* Made part by part and not from a text: a source may have a literal token that looks like "$1". */
const struct transform *transform_inverse(const struct transform *transform, struct arena *arena)
{
    uint32_t count = transform->rest_from; /* the tokens of the source but its `>` */
    struct transform *inverse = arena_new(arena, sizeof *inverse);
    struct transform_part *parts = arena_new(arena, (count + 1) * sizeof *parts);
    uint16_t *tokens = arena_new(arena, (count + 1) * sizeof *tokens);
    if (inverse == NULL || parts == NULL || tokens == NULL)
        return NULL;
    *inverse = (struct transform){
        .source = transform_pattern(transform->destination, arena),
        .destination = transform->source,
        .parts = parts,
        .part_count = count,
        .tokens_needed = transform->part_count,
        .rest_from = transform->part_count,
        .rest = transform->rest,
    };
    uint32_t index = 0;
    for (size_t start = 0, end; index < count; start = end + 1, index++) {
        end = token_end(transform->source, start);
        parts[index] = (struct transform_part){.text = token_of(transform->source, start, end)};
        if (!token_is(parts[index].text, '*'))
            continue;
        tokens[index] = holder_of(transform, index);
        parts[index].function = TRANSFORM_WILDCARD;
        parts[index].tokens = &tokens[index];
        parts[index].token_count = 1;
    }
    return inverse->source.data == NULL || transform->part_count > TRANSFORM_TOKENS_MAX ? NULL : inverse;
}

/* ---- sentences ---- */

void transform_trouble_text(const struct transform_trouble *trouble, char *out, size_t out_bytes)
{
    static const char *const sentences[] = {
        [TRANSFORM_OK] = "",
        [TRANSFORM_MEMORY] = "out of memory",
        [TRANSFORM_BAD_SUBJECT] = "invalid subject",
        [TRANSFORM_BAD_DESTINATION] = "invalid mapping destination: invalid transform",
        [TRANSFORM_UNKNOWN_FUNCTION] = "unknown function",
        [TRANSFORM_OUT_OF_RANGE] = "wildcard index out of range",
        [TRANSFORM_TOO_FEW_ARGUMENTS] = "not enough arguments passed to the function",
        [TRANSFORM_TOO_MANY_ARGUMENTS] = "too many arguments passed to the function",
        [TRANSFORM_BAD_ARGUMENT] = "function argument is invalid or in the wrong format",
        [TRANSFORM_NOT_FOR_IMPORTS] =
            "the only mapping function allowed for import transforms is {{Wildcard()}}",
        [TRANSFORM_NOT_ALL_USED] = "not using all of the token wildcard(s)",
        [TRANSFORM_USED_TWICE] = "an import uses a wildcard only once",
    };
    const char *sentence = sentences[trouble->error];
    if (trouble->error < TRANSFORM_UNKNOWN_FUNCTION) {
        snprintf(out, out_bytes, "%s", sentence);
        return;
    }
    char index[32] = "";
    if (trouble->error == TRANSFORM_OUT_OF_RANGE && trouble->index != 0)
        snprintf(index, sizeof index, ": [%lld]", (long long)trouble->index);
    snprintf(out, out_bytes, "invalid mapping destination: %s in %.*s%s", sentence,
             BYTES_PRINTF(trouble->token), index);
}

/* tests/conformance/info.c - the fields of INFO lines; see info.h. */
#include "tests/conformance/info.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_BYTES_MAX = 256 };

static json_t *info_parse(const char *line);
static bool info_answers(const json_t *info, const char *word);
static bool info_has_type(const json_t *value, const char *type);

bool info_holds(const char *line, const char *questions, char *why, size_t why_bytes)
{
    json_t *info = info_parse(line);
    if (info == NULL) {
        (void)snprintf(why, why_bytes, "not an INFO line with one JSON object: %s", line);
        return false;
    }
    bool holds = true;
    const char *at = questions;
    while (holds && *at != 0) {
        size_t length = strcspn(at, " ");
        char word[WORD_BYTES_MAX];
        (void)snprintf(word, sizeof word, "%.*s", (int)length, at);
        if (length > 0 && !info_answers(info, word)) {
            (void)snprintf(why, why_bytes, "INFO: expected %s, got %s", word, line);
            holds = false;
        }
        at += length;
        at += strspn(at, " ");
    }
    json_decref(info);
    return holds;
}

uint64_t info_client_id(const char *line)
{
    json_t *info = info_parse(line);
    json_int_t id = json_integer_value(json_object_get(info, "client_id"));
    json_decref(info);
    return (uint64_t)id;
}

static json_t *info_parse(const char *line)
{
    size_t length = strlen(line);
    if (length < 8 || memcmp(line, "INFO {", 6) != 0 || line[length - 1] != ' ' || line[length - 2] != '}')
        return NULL;
    json_t *info = json_loadb(line + 5, length - 6, JSON_REJECT_DUPLICATES, NULL);
    if (info != NULL && !json_is_object(info)) {
        json_decref(info);
        return NULL;
    }
    return info;
}

static bool info_answers(const json_t *info, const char *word)
{
    char key[WORD_BYTES_MAX];
    bool absent = word[0] == '!';
    const char *name = word + (absent ? 1 : 0);
    size_t length = strcspn(name, "=:#");
    (void)snprintf(key, sizeof key, "%.*s", (int)length, name);
    const json_t *value = json_object_get(info, key);
    if (absent)
        return value == NULL;
    const char *argument = name + length + 1;
    switch (name[length]) {
    case '=': {
        json_t *wanted = json_loads(argument, JSON_DECODE_ANY, NULL);
        bool equal = wanted != NULL && json_equal(value, wanted) == 1;
        json_decref(wanted);
        return equal;
    }
    case ':':
        return info_has_type(value, argument);
    case '#':
        return json_is_array(value) && json_array_size(value) == strtoul(argument, NULL, 10);
    default:
        return value != NULL;
    }
}

static bool info_has_type(const json_t *value, const char *type)
{
    if (strcmp(type, "string") == 0)
        return json_is_string(value);
    if (strcmp(type, "int") == 0)
        return json_is_integer(value);
    return strcmp(type, "bool") == 0 && json_is_boolean(value);
}

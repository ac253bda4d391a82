/* shards/streaming/texts.c - see texts.h. */
#include "shards/streaming/texts.h"

struct bytes streaming_text(enum streaming_text text)
{
    switch (text) {
#define X(name, words)                                                                                       \
    case STREAMING_##name:                                                                                   \
        return TEXT(words);
        STREAMING_TEXTS(X)
#undef X
    }
    return TEXT("");
}

/* shards/main.c - the program: command line, log, server. */
#include "core/base/log.h"
#include "shards/options.h"
#include "shards/server.h"
#include "shards/signal_command.h"

#include <stdio.h>
#include <string.h>

static const char *program_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

int main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

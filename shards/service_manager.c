/* shards/service_manager.c - see service_manager.h. */
#include "shards/service_manager.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { WORDS_BYTES = 128 };

static int words_make(char out[WORDS_BYTES], enum service_state state, int64_t now_ns)
{
    switch (state) {
    case SERVICE_READY:
        return snprintf(out, WORDS_BYTES, "READY=1\nSTATUS=Serving clients");
    case SERVICE_RELOADING:
        return snprintf(out, WORDS_BYTES,
                        "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\nSTATUS=Reading the configuration",
                        now_ns / 1000);
    case SERVICE_STOPPING:
        return snprintf(out, WORDS_BYTES, "STOPPING=1\nSTATUS=Letting go of clients");
    }
    return 0;
}

enum err service_manager_tell(const char *socket_path, enum service_state state, int64_t now_ns)
{
    char words[WORDS_BYTES];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (socket_path == NULL || socket_path[0] == 0)
        return ERR_OK;
    size_t count = strlen(socket_path);
    if (count >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return ERR_SYSTEM;
    }
    memcpy(address.sun_path, socket_path, count);
    if (socket_path[0] == '@')
        address.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return ERR_SYSTEM;
    int word_count = words_make(words, state, now_ns);
    ssize_t sent = sendto(fd, words, (size_t)word_count, MSG_NOSIGNAL, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + count));
    int error = errno;
    close(fd);
    errno = error;
    return sent == word_count ? ERR_OK : ERR_SYSTEM;
}

/* shards/control/dial_address.c - see dial_address.h. */
#include "shards/control/dial_address.h"

#include "core/base/errno_text.h"
#include "net/route_info.h"
#include "shards/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static bool address_read(struct bytes one, uint16_t port, union dial_address *address, socklen_t *count)
{
    char host[INET6_ADDRSTRLEN + 1] = "";
    struct sockaddr_in *four = (struct sockaddr_in *)(void *)&address->storage;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)&address->storage;
    if (one.count >= sizeof host)
        return false;
    memcpy(host, one.data, one.count);
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        *count = sizeof *four;
        return true;
    }
    if (inet_pton(AF_INET6, host, &six->sin6_addr) != 1)
        return false;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    *count = sizeof *six;
    return true;
}

bool dial_address_choose(struct random *random, struct bytes addresses, uint16_t port,
                         union dial_address *address, socklen_t *count)
{
    struct bytes rest = addresses, one;
    uint32_t known = 0;
    while (route_texts_next(&rest, &one))
        known++;
    if (known == 0)
        return false;
    uint32_t chosen = random_below(random, known);
    for (rest = addresses; route_texts_next(&rest, &one) && chosen > 0;)
        chosen--;
    return address_read(one, port, address, count);
}

void dial_failure_text(int error, char *why, size_t why_bytes)
{
    struct errno_text text = errno_text(error);
    if (error == ECANCELED) {
        snprintf(why, why_bytes, "i/o timeout");
        return;
    }
    if (text.text[0] >= 'A' && text.text[0] <= 'Z')
        text.text[0] = (char)(text.text[0] | 0x20); /* as Go has it */
    snprintf(why, why_bytes, "connect: %s", text.text);
}

bool dial_reported(const struct server_options *options, bool was_connected, uint64_t attempts)
{
    int64_t every = was_connected ? options->reconnect_error_reports : options->connect_error_reports;
    return attempts == 1 || (every > 0 && attempts % (uint64_t)every == 0);
}

bool dial_host_is_address(const char *host)
{
    uint8_t raw[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, raw) == 1 || inet_pton(AF_INET6, host, raw) == 1;
}

void dial_address_show(const struct sockaddr *peer, char *text, size_t text_bytes, uint16_t *port)
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)peer;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)peer;
    if (peer->sa_family == AF_INET) {
        inet_ntop(AF_INET, &four->sin_addr, text, (socklen_t)text_bytes);
        *port = ntohs(four->sin_port);
    } else if (peer->sa_family == AF_INET6) {
        *port = ntohs(six->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
            inet_ntop(AF_INET, &six->sin6_addr.s6_addr[12], text, (socklen_t)text_bytes);
        else
            inet_ntop(AF_INET6, &six->sin6_addr, text, (socklen_t)text_bytes);
    }
}

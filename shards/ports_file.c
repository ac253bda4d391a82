/* shards/ports_file.c - see ports_file.h. */
#include "shards/ports_file.h"

#include "core/base/bytes.h"
#include "core/base/errno_text.h"
#include "core/codec/json_writer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

enum { CONTENT_BYTES_MAX = 64 * 1024, URL_BYTES_MAX = 128 };

static bool wildcard(const char *host)
{
    return host[0] == 0 || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* One that listens. */
struct listener {
    const char *key;
    const char *scheme;
    const char *host;
    uint16_t port;
};

static void url_write(struct json_writer *json, const struct sockaddr *address,
                      const struct listener *listener)
{
    char text_of[INET6_ADDRSTRLEN] = "";
    char url[URL_BYTES_MAX];
    bool six = address->sa_family == AF_INET6;
    const void *raw = six ? (const void *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr
                          : (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
    if (inet_ntop(address->sa_family, raw, text_of, sizeof text_of) == NULL)
        return;
    int count = snprintf(url, sizeof url, six ? "%s://[%s]:%u" : "%s://%s:%u", listener->scheme, text_of,
                         listener->port);
    json_write_text(json, bytes_of(url, (size_t)count));
}

static bool is_internet(const struct sockaddr *address)
{
    return address != NULL && (address->sa_family == AF_INET || address->sa_family == AF_INET6);
}

/* One URL for each address of each local interface. Where they cannot be asked for, `error` says why. */
static void urls_of_interfaces(struct json_writer *json, const struct listener *listener, int *error)
{
    struct ifaddrs *first = NULL;
    if (getifaddrs(&first) != 0) {
        *error = errno;
        return; /* an empty list says that nothing is known */
    }
    for (const struct ifaddrs *at = first; at != NULL; at = at->ifa_next) {
        if (is_internet(at->ifa_addr))
            url_write(json, at->ifa_addr, listener);
    }
    freeifaddrs(first);
}

static void urls_of_host(struct json_writer *json, const struct listener *listener)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(listener->host, NULL, &hints, &found) != 0)
        return;
    if (is_internet(found->ai_addr))
        url_write(json, found->ai_addr, listener);
    freeaddrinfo(found);
}

static void urls_write(struct json_writer *json, const struct listener *listener, int *error)
{
    json_write_key(json, listener->key);
    json_write_array_begin(json);
    if (wildcard(listener->host))
        urls_of_interfaces(json, listener, error);
    else
        urls_of_host(json, listener);
    json_write_array_end(json);
}

static size_t content_make(const struct ports_file *ports, char *content, int *interfaces_error)
{
    struct json_writer json;
    const struct listener clients = {"nats", ports->tls ? "tls" : "nats", ports->host, ports->port};
    const struct listener monitoring = {"monitoring", ports->https ? "https" : "http", ports->http_host,
                                        ports->http_port};
    const struct listener routes = {"cluster", ports->cluster_tls ? "tls" : "nats", ports->cluster_host,
                                    ports->cluster_port};
    json_writer_init(&json, content, CONTENT_BYTES_MAX);
    json_write_object_begin(&json);
    urls_write(&json, &clients, interfaces_error);
    if (ports->http_port != 0)
        urls_write(&json, &monitoring, interfaces_error);
    if (ports->cluster_port != 0)
        urls_write(&json, &routes, interfaces_error);
    json_write_object_end(&json);
    return json_writer_count(&json);
}

static int write_whole(const char *path, const char *content, size_t count)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return errno;
    int error = 0;
    while (count > 0 && error == 0) {
        ssize_t written = write(fd, content, count);
        if (written < 0 && errno != EINTR)
            error = errno;
        if (written > 0) {
            content += written;
            count -= (size_t)written;
        }
    }
    if (close(fd) != 0 && error == 0)
        error = errno;
    return error;
}

enum err ports_file_write(const struct ports_file *ports, char *path, size_t path_bytes, char *why,
                          size_t why_bytes)
{
    char content[CONTENT_BYTES_MAX];
    char draft[4096 + 8];
    int interfaces_error = 0;
    size_t count = content_make(ports, content, &interfaces_error);
    int path_count =
        snprintf(path, path_bytes, "%s/%s_%ld.ports", ports->directory, ports->program, (long)getpid());
    int draft_count = snprintf(draft, sizeof draft, "%s.new", path);
    int error = count == 0 ? EOVERFLOW : 0;
    if (path_count < 0 || (size_t)path_count >= path_bytes || draft_count < 0 ||
        (size_t)draft_count >= sizeof draft)
        error = ENAMETOOLONG;
    if (error == 0)
        error = write_whole(draft, content, count);
    if (error == 0 && rename(draft, path) != 0)
        error = errno;
    why[0] = 0;
    if (error == 0 && interfaces_error != 0)
        snprintf(why, why_bytes, "Addresses of the interfaces are unknown, the ports file lists none: %s",
                 errno_text(interfaces_error).text);
    if (error == 0)
        return ERR_OK;
    snprintf(why, why_bytes, "Error writing ports file (%s): open %s: %s", path, path,
             errno_text(error).text);
    (void)unlink(draft);
    path[0] = 0;
    return ERR_SYSTEM;
}

enum err ports_file_remove(const char *path, char *why, size_t why_bytes)
{
    if (unlink(path) == 0)
        return ERR_OK;
    snprintf(why, why_bytes, "Error cleaning up ports file %s: remove %s: %s", path, path,
             errno_text(errno).text);
    return ERR_SYSTEM;
}

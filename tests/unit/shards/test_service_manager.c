/* Tests shards/service_manager.h with a socket of the test's own in the manager's place. */
#include "shards/service_manager.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A socket that is bound to `name`, of which '@' stands for the zero of an abstract one. */
static int listening(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t count = strlen(name);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    memcpy(address.sun_path, name, count);
    if (name[0] == '@')
        address.sun_path[0] = 0;
    cr_assert_eq(
        bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + count)),
        0);
    return fd;
}

static void expect_told(int fd, const char *words)
{
    char told[256];
    ssize_t count = recv(fd, told, sizeof told - 1, MSG_DONTWAIT);
    cr_assert_gt(count, 0);
    told[count] = 0;
    cr_expect_str_eq(told, words);
}

Test(service_manager, each_state_is_one_datagram)
{
    char name[64];
    snprintf(name, sizeof name, "@myelin-test-service-manager-%d", (int)getpid());
    int fd = listening(name);
    cr_expect_eq(service_manager_tell(name, SERVICE_READY, 1), ERR_OK);
    cr_expect_eq(service_manager_tell(name, SERVICE_RELOADING, 1234567), ERR_OK);
    cr_expect_eq(service_manager_tell(name, SERVICE_STOPPING, 1), ERR_OK);
    expect_told(fd, "READY=1\nSTATUS=Serving clients");
    expect_told(fd, "RELOADING=1\nMONOTONIC_USEC=1234\nSTATUS=Reading the configuration");
    expect_told(fd, "STOPPING=1\nSTATUS=Letting go of clients");
    close(fd);
}

Test(service_manager, a_path_does_as_well)
{
    char folder[] = "/tmp/myelin-notify-XXXXXX";
    char name[64];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(name, sizeof name, "%s/socket", folder);
    int fd = listening(name);
    cr_expect_eq(service_manager_tell(name, SERVICE_READY, 1), ERR_OK);
    expect_told(fd, "READY=1\nSTATUS=Serving clients");
    close(fd);
    cr_expect_eq(service_manager_tell(name, SERVICE_READY, 1), ERR_SYSTEM);
    cr_expect_eq(errno, ECONNREFUSED);
    unlink(name);
    rmdir(folder);
}

Test(service_manager, nobody_has_to_be_there)
{
    char longer[200];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    cr_expect_eq(service_manager_tell(NULL, SERVICE_READY, 1), ERR_OK);
    cr_expect_eq(service_manager_tell("", SERVICE_READY, 1), ERR_OK);
    cr_expect_eq(service_manager_tell("/nobody/is/here", SERVICE_READY, 1), ERR_SYSTEM);
    cr_expect_eq(service_manager_tell(longer, SERVICE_READY, 1), ERR_SYSTEM);
    cr_expect_eq(errno, ENAMETOOLONG);
}

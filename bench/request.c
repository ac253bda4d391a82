/* bench/request.c - requesters and repliers on one epoll behind request.h. */
#include "bench/request.h"

enum err request_run(const struct options *options, struct report *report, struct failure *failure)
{
    (void)options; (void)report;
    return failure_set(failure, ERR_UNSUPPORTED, "later");
}
enum err reply_run(const struct options *options, struct report *report, struct failure *failure)
{
    (void)options; (void)report;
    return failure_set(failure, ERR_UNSUPPORTED, "later");
}

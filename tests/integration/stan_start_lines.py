"""What nats-streaming-server says when it starts, for test_streaming.py."""
import re

# What a start says, in this order; tools wait for some of it.
START_LINES = (
    r"STREAM: Starting nats-streaming-server\[test-cluster\] version 0\.25\.6", r"STREAM: ServerID: [0-9A-Za-z]{22}",
    r"STREAM: Go version: \S+", r"STREAM: Git commit: \[.+\]", r"Starting nats-\S*server", r"  Version:  ",
    r"Listening for client connections on 127\.0\.0\.1:\d+", r"Server is ready", r"STREAM: Recovering the state\.\.\.",
    r"STREAM: No recovered state", r"STREAM: Message store is \w+", r"STREAM: -+ Store Limits -+",
    r"STREAM: Channels: +100 \*", r"STREAM: -+ Channels Limits -+", r"STREAM:   Subscriptions: +1000 \*",
    r"STREAM:   Messages     : +1000000 \*", r"STREAM:   Bytes        : +976\.56 MB \*",
    r"STREAM:   Age          : +unlimited \*", r"STREAM:   Inactivity   : +unlimited \*", r"STREAM: -+$",
    r"STREAM: Streaming Server is ready$")


def missing(log):
    """The first of them that does not stand behind the ones before; None: all do."""
    at = 0
    for line in START_LINES:
        found = re.compile(r"\[INF\] " + line, re.M).search(log, at)
        if found is None:
            return line
        at = found.end()
    return None

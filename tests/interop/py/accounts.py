"""Streams and services of another account: on a server with a configuration of its own, in clear."""

import tempfile

import nats
from nats.errors import NoRespondersError

from harness import WAIT_S, Mailbox, free_port, kill_server, must, settle
from login import start_guarded

REQUESTS = 200
CONFIG = """accounts {
 EXP { users: [ {user: exporter, password: p} ], exports: [ {stream: "news.>"}, {service: "ask.*"} ] }
 IMP { users: [ {user: importer, password: p} ]
  imports: [ {stream: {account: EXP, subject: "news.>"}, prefix: far}
   {service: {account: EXP, subject: "ask.*"}, to: "far.ask.*"} ] }
}
"""


async def streams(exporter, importer):
    near = await Mailbox.open(importer, "news.*")
    far = await Mailbox.open(importer, "far.news.*")
    await settle(importer)
    await exporter.publish("news.a", b"first", headers={"k": "v"})
    await exporter.publish("news.b", b"second")
    await settle(exporter)
    message = await far.expect("far.news.a", b"first")
    must(message.headers == {"k": "v"}, f"headers {message.headers}")
    await far.expect("far.news.b", b"second")
    await near.quiet()


async def services(exporter, importer):
    asked = []

    async def answer(request):
        asked.append(request)
        await request.respond(request.subject.encode() + b" " + request.data)

    await exporter.subscribe("ask.*", cb=answer)
    await settle(exporter)
    for number in range(REQUESTS):
        reply = await importer.request(f"far.ask.{number}", b"%d" % number, timeout=WAIT_S)
        must(reply.data == b"ask.%d %d" % (number, number), f"got {reply.data!r}")
    must(all("Nats-Request-Info" in request.headers for request in asked), "a service does not learn who asks")
    must(len(asked) == REQUESTS, f"{len(asked)} requests came")
    try:
        await importer.request("ask.x", b"", timeout=WAIT_S)
    except NoRespondersError:
        return
    must(False, "the exporter's own subject was served in the importer")


async def accounts(run):
    """A stream with a prefix and a service by another name, from one account to the other."""
    port = free_port()
    url = f"nats://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        server = await start_guarded(run.binary, port, folder, CONFIG)
        try:
            exporter = await nats.connect(url, user="exporter", password="p")
            importer = await nats.connect(url, user="importer", password="p")
            run.open += [exporter, importer]
            await streams(exporter, importer)
            await services(exporter, importer)
            for connection in run.open:
                await connection.close()
        finally:
            kill_server(server)

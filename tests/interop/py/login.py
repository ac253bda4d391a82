"""Who may come in, and what they may do: on a server with a configuration of its own, in clear."""

import os
import tempfile

import nats

from harness import WAIT_S, Mailbox, free_port, kill_server, must, settle, start_server, until

USER_SEED = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y"
OTHER_SEED = "SUAGLLGYEGY5NOOICPKGELWSMRU6EYBWY54TCDDG3GTKDWTWAC375MM7AM"
# "U*U" behind the hash.
CONFIG = """authorization { users: [
 {user: plain, password: secret}
 {user: hashed, password: "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}
 {nkey: UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK,
  permissions: {publish: "in.>", subscribe: {allow: "in.>", deny: "in.secret"}}}
] }
"""

TOKEN = "authorization { token: t0ken }\n"


async def start_guarded(binary, port, folder, config=CONFIG):
    """A server with a configuration, and without the flags of the run, which may ask for TLS."""
    path = os.path.join(folder, "server.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(config)
    flags = os.environ.get("MYELIN_FLAGS", "")
    os.environ["MYELIN_FLAGS"] = f"-c {path}"
    try:
        return await start_server(binary, port)
    finally:
        os.environ["MYELIN_FLAGS"] = flags


async def refused(url, **options):
    """Connecting fails, and the server has said why."""
    errors = []

    async def note(error):
        errors.append(str(error))

    try:
        connection = await nats.connect(url, allow_reconnect=False, error_cb=note, **options)
    except Exception as error:  # the client has several kinds for this
        errors.append(str(error))
    else:
        await connection.close()
        raise AssertionError(f"{options} was let in")
    must(any("authorization violation" in text.lower() for text in errors), f"{options}: {errors}")


async def check_permissions(limited, plain, violations):
    wide = await Mailbox.open(limited, "in.*")
    out = await Mailbox.open(limited, "out")
    await settle(limited)
    await limited.publish("out", b"")
    await settle(limited)
    await until(lambda: len(violations) >= 2, WAIT_S, "two violations")
    must('subscription to "out"' in violations[0].lower(), violations[0])
    must('publish to "out"' in violations[1].lower(), violations[1])
    await plain.publish("in.secret", b"hidden")
    await plain.publish("in.open", b"seen")
    await settle(plain)
    await wide.expect("in.open", b"seen")
    await wide.quiet()
    must(not out.messages, "a refused subscription got a message")


async def check_token(run):
    port = free_port()
    url = f"nats://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        server = await start_guarded(run.binary, port, folder, TOKEN)
        try:
            await refused(url, token="token")
            connection = await nats.connect(url, token="t0ken")
            await settle(connection)
            await connection.close()
        finally:
            kill_server(server)


async def logins(run):
    """Users, a token and NKeys, right and wrong; what is refused and what is held back."""
    violations = []
    await check_token(run)

    async def note(error):
        violations.append(str(error))

    port = free_port()
    url = f"nats://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        server = await start_guarded(run.binary, port, folder)
        try:
            await refused(url, user="plain", password="Secret")
            await refused(url, user="hashed", password="U*V")
            await refused(url, user="nobody", password="secret")
            await refused(url, token="secret")
            await refused(url)
            await refused(url, nkeys_seed_str=OTHER_SEED)
            limited = await nats.connect(url, nkeys_seed_str=USER_SEED, error_cb=note)
            plain = await nats.connect(url, user="plain", password="secret")
            hashed = await nats.connect(url, user="hashed", password="U*U")
            run.open += [limited, plain, hashed]
            await check_permissions(limited, plain, violations)
            for connection in run.open:
                await connection.close()
        finally:
            kill_server(server)

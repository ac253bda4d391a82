"""Who may come in, and what they may do: on a server with a configuration of its own, in clear, or with INTEROP_TLS over
TLS where only the server shows a certificate."""

import os
import ssl
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
# Whom the certificate of the run means: nobody is called localhost, its DNS name.
MAPPED = """authorization { users: [ {user: "CN=client"}, {user: plain, password: secret} ] }
"""
# A user's JWT and seed, as operator mode wants them. Where that is off nobody looks at them: a server without logins lets
# them in, one with a token does not know the user.
CREDS = (
    "-----BEGIN NATS USER JWT-----\n"
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJpYXQiOjE3MDAwMDAwMDAsImlzcyI6IkFCWTM1SElQMlhGS"
    "EdTM0hKNUZNTFUzMzVLU1VCTkNGMldRNlBRUEwyS1FWSFVRRUdKWFZRU01CIiwibmFtZSI6ImludGVyb3AiLCJzdWIiOiJVQ"
    "UIyQ0I1NzZQSEJCUFE1T0RPUlJaMkxZQ01XUFpHV0dDTjJLREs3RFhPSU1aQVNLVVkzUkxLSyIsIm5hdHMiOnsicHViIjp7f"
    "Swic3ViIjp7fSwic3VicyI6LTEsImRhdGEiOi0xLCJwYXlsb2FkIjotMSwidHlwZSI6InVzZXIiLCJ2ZXJzaW9uIjoyfSwia"
    "nRpIjoiRUM2RllUMlZISUVOWkJWUlNQNUhGNlQ0Tkc0Q1lITlhVVk9OTkZQM1RMUkYyRDY1QkpNQSJ9.BjgynzuXtk6DYbck"
    "JCI4RIDhfdSfzu-QgB017PtDMaXZVA9gF6jhq54KG61YNVtYfvjs2Tyh64pCKwtBHKoACg"
    f"\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{USER_SEED}\n------END USER NKEY SEED------\n"
)
CERTIFICATES = os.environ.get("INTEROP_TLS")


def with_tls(content, more=""):
    """The configuration, with TLS behind it where the run has it; `more` goes into that block."""
    if not CERTIFICATES:
        return content
    return content + f'tls {{ cert_file: "{CERTIFICATES}/server.pem", key_file: "{CERTIFICATES}/server.key"{more} }}\n'


def security(certificate=False):
    """The client's side of it, without or with a certificate of ours."""
    if not CERTIFICATES:
        return {}
    context = ssl.create_default_context(cafile=f"{CERTIFICATES}/ca.pem")
    if certificate:
        context.load_cert_chain(f"{CERTIFICATES}/client.pem", f"{CERTIFICATES}/client.key")
    return {"tls": context}


async def start_guarded(binary, port, folder, config=CONFIG):
    """A server with a configuration, and without the flags of the run, which ask for certificates on both sides."""
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
        connection = await nats.connect(url, allow_reconnect=False, error_cb=note, **{**security(), **options})
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


async def let_in(url, **options):
    connection = await nats.connect(url, **{**security(), **options})
    await settle(connection)
    await connection.close()


async def with_server(run, config, check):
    """check(url, folder) with a server of that configuration."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "user.creds"), "w", encoding="ascii") as file:
            file.write(CREDS)
        server = await start_guarded(run.binary, port, folder, config)
        try:
            await check(f"nats://127.0.0.1:{port}", os.path.join(folder, "user.creds"))
        finally:
            kill_server(server)


async def check_token(run):
    """A token, and a credentials file where there is a token and where there is nothing."""

    async def token(url, creds):
        await refused(url, token="token")
        await refused(url, user_credentials=creds)
        await let_in(url, token="t0ken")

    async def nothing(url, creds):
        await let_in(url, user_credentials=creds)

    await with_server(run, with_tls(TOKEN), token)
    await with_server(run, with_tls(""), nothing)


async def check_certificate(run):
    """The certificate of the run says who comes, and nothing else does."""

    async def check(url, _):
        ours = security(certificate=True)
        await let_in(url, **ours)
        await refused(url, user="CN=client", password="x", **ours)
        await refused(url, user="plain", password="secret", **ours)
        try:
            await let_in(url, user="plain", password="secret", allow_reconnect=False)
        except Exception:  # the client has several kinds for this
            return
        raise AssertionError("let in without a certificate")

    await with_server(run, with_tls(MAPPED, f', ca_file: "{CERTIFICATES}/ca.pem", verify_and_map: true'), check)


async def logins(run):
    """Users, a token and NKeys, right and wrong; what is refused and what is held back."""
    violations = []
    await check_token(run)
    if CERTIFICATES:
        await check_certificate(run)

    async def note(error):
        violations.append(str(error))

    port = free_port()
    url = f"nats://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        server = await start_guarded(run.binary, port, folder, with_tls(CONFIG))
        try:
            await refused(url, user="plain", password="Secret")
            await refused(url, user="hashed", password="U*V")
            await refused(url, user="nobody", password="secret")
            await refused(url, token="secret")
            await refused(url)
            await refused(url, nkeys_seed_str=OTHER_SEED)
            limited = await nats.connect(url, nkeys_seed_str=USER_SEED, error_cb=note, **security())
            plain = await nats.connect(url, user="plain", password="secret", **security())
            hashed = await nats.connect(url, user="hashed", password="U*U", **security())
            run.open += [limited, plain, hashed]
            await check_permissions(limited, plain, violations)
            for connection in run.open:
                await connection.close()
        finally:
            kill_server(server)

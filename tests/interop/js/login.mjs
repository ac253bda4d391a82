// Who may come in, and what they may do: on a server with a configuration of its own, in clear, or with INTEROP_TLS over
// TLS where only the server shows a certificate.
import { connect, jwtAuthenticator, nkeyAuthenticator } from "@nats-io/transport-node";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { freePort, killServer, Mailbox, must, startServer, until, waitMs } from "./harness.mjs";

const userSeed = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y";
const otherSeed = "SUAGLLGYEGY5NOOICPKGELWSMRU6EYBWY54TCDDG3GTKDWTWAC375MM7AM";
const seedOf = (text) => nkeyAuthenticator(new TextEncoder().encode(text));
// "U*U" behind the hash.
const config = `authorization { users: [
 {user: plain, password: secret}
 {user: hashed, password: "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}
 {nkey: UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK,
  permissions: {publish: "in.>", subscribe: {allow: "in.>", deny: "in.secret"}}}
] }
`;
// Whom the certificate of the run means: nobody is called localhost, its DNS name.
const mapped = `authorization { users: [ {user: "CN=client"}, {user: plain, password: secret} ] }
`;
// A user's JWT, as operator mode wants it with the seed. Where that is off nobody looks at it: a server without logins lets
// it in, one with a token does not know the user.
const jwt =
  "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJpYXQiOjE3MDAwMDAwMDAsImlzcyI6IkFCWTM1SElQMlhGS" +
  "EdTM0hKNUZNTFUzMzVLU1VCTkNGMldRNlBRUEwyS1FWSFVRRUdKWFZRU01CIiwibmFtZSI6ImludGVyb3AiLCJzdWIiOiJVQ" +
  "UIyQ0I1NzZQSEJCUFE1T0RPUlJaMkxZQ01XUFpHV0dDTjJLREs3RFhPSU1aQVNLVVkzUkxLSyIsIm5hdHMiOnsicHViIjp7f" +
  "Swic3ViIjp7fSwic3VicyI6LTEsImRhdGEiOi0xLCJwYXlsb2FkIjotMSwidHlwZSI6InVzZXIiLCJ2ZXJzaW9uIjoyfSwia" +
  "nRpIjoiRUM2RllUMlZISUVOWkJWUlNQNUhGNlQ0Tkc0Q1lITlhVVk9OTkZQM1RMUkYyRDY1QkpNQSJ9.BjgynzuXtk6DYbck" +
  "JCI4RIDhfdSfzu-QgB017PtDMaXZVA9gF6jhq54KG61YNVtYfvjs2Tyh64pCKwtBHKoACg";
const creds = jwtAuthenticator(jwt, new TextEncoder().encode(userSeed));

const folder = process.env.INTEROP_TLS;
/** TLS without a certificate of ours, and with the one of the run; nothing where the run has no TLS. */
const oneWay = folder ? { tls: { caFile: path.join(folder, "ca.pem") } } : {};
const both = folder && {
  tls: { ...oneWay.tls, certFile: path.join(folder, "client.pem"), keyFile: path.join(folder, "client.key") },
};

/** The configuration, with TLS behind it where the run has it; `more` goes into that block. */
function withTls(content, more = "") {
  const file = (name) => JSON.stringify(path.join(folder, name));
  return folder ? `${content}tls { cert_file: ${file("server.pem")}, key_file: ${file("server.key")}${more} }\n` : content;
}

/** Starts a server with a configuration, and without the flags of the run, which ask for certificates on both sides. */
export async function guarded(run, content, play) {
  const own = await mkdtemp(path.join(tmpdir(), "interop-js-"));
  const file = path.join(own, "server.conf");
  await writeFile(file, content);
  const flags = process.env.MYELIN_FLAGS;
  process.env.MYELIN_FLAGS = `-c ${file}`;
  const port = await freePort();
  let server;
  try {
    server = await startServer(run.binary, port);
  } finally {
    process.env.MYELIN_FLAGS = flags ?? "";
  }
  try {
    await play(`127.0.0.1:${port}`);
  } finally {
    await killServer(server);
    await rm(own, { recursive: true });
  }
}

async function refused(options) {
  const error = await connect({ reconnect: false, ...oneWay, ...options }).then(() => undefined, (reason) => reason);
  must(/authorization violation/i.test(String(error)), `expected an authorization violation, got ${error}`);
}

async function letIn(options) {
  const connection = await connect({ ...oneWay, ...options });
  await connection.flush();
  await connection.close();
}

/** The certificate of the run says who comes, and nothing else does. */
async function certificate(run) {
  const more = `, ca_file: ${JSON.stringify(path.join(folder, "ca.pem"))}, verify_and_map: true`;
  await guarded(run, withTls(mapped, more), async (servers) => {
    await letIn({ servers, ...both });
    await refused({ servers, ...both, user: "CN=client", pass: "x" });
    await refused({ servers, ...both, user: "plain", pass: "secret" });
    const without = connect({ servers, reconnect: false, ...oneWay, user: "plain", pass: "secret" });
    must(await without.then(() => false, () => true), "let in without a certificate");
  });
}

export async function logins(run) {
  await guarded(run, withTls("authorization { token: t0ken }\n"), async (servers) => {
    await refused({ servers, token: "token" });
    await refused({ servers, authenticator: creds });
    await letIn({ servers, token: "t0ken" });
  });
  await guarded(run, withTls(""), (servers) => letIn({ servers, authenticator: creds }));
  if (folder) {
    await certificate(run);
  }
  await guarded(run, withTls(config), async (servers) => {
    await refused({ servers, user: "plain", pass: "Secret" });
    await refused({ servers, user: "hashed", pass: "U*V" });
    await refused({ servers, user: "nobody", pass: "secret" });
    await refused({ servers, token: "secret" });
    await refused({ servers });
    await refused({ servers, authenticator: seedOf(otherSeed) });
    const enter = async (options) => {
      const connection = await connect({ servers, ...oneWay, ...options });
      run.open.push(connection);
      return connection;
    };
    const limited = await enter({ authenticator: seedOf(userSeed) });
    const plain = await enter({ user: "plain", pass: "secret" });
    await enter({ user: "hashed", pass: "U*U" });

    const violations = [];
    (async () => {
      for await (const status of limited.status()) {
        if (status.type === "error") {
          violations.push(String(status.error));
        }
      }
    })();
    const wide = new Mailbox(limited, "in.*");
    const out = new Mailbox(limited, "out");
    await limited.flush();
    limited.publish("out", "");
    await limited.flush();
    await until(() => violations.length >= 2, waitMs, "two violations");
    must(/subscription to "out"/i.test(violations[0]), violations[0]);
    must(/publish to "out"/i.test(violations[1]), violations[1]);
    must(out.messages.every((message) => message instanceof Error), "a refused subscription got a message");
    plain.publish("in.secret", "hidden");
    plain.publish("in.open", "seen");
    await plain.flush();
    await wide.expect("in.open", "seen");
    await wide.quiet();
    await Promise.all(run.open.map((connection) => connection.close()));
  });
}

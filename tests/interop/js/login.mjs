// Who may come in, and what they may do: on a server with a configuration of its own, in clear.
import { connect, nkeyAuthenticator } from "@nats-io/transport-node";
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

/** Starts a server with a configuration, and without the flags of the run, which may ask for TLS. */
export async function guarded(run, content, play) {
  const folder = await mkdtemp(path.join(tmpdir(), "interop-js-"));
  const file = path.join(folder, "server.conf");
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
    await rm(folder, { recursive: true });
  }
}

async function refused(options) {
  const error = await connect({ reconnect: false, ...options }).then(() => undefined, (reason) => reason);
  must(/authorization violation/i.test(String(error)), `expected an authorization violation, got ${error}`);
}

export async function logins(run) {
  await guarded(run, "authorization { token: t0ken }\n", async (servers) => {
    await refused({ servers, token: "token" });
    await (await connect({ servers, token: "t0ken" })).close();
  });
  await guarded(run, config, async (servers) => {
    await refused({ servers, user: "plain", pass: "Secret" });
    await refused({ servers, user: "hashed", pass: "U*V" });
    await refused({ servers, user: "nobody", pass: "secret" });
    await refused({ servers, token: "secret" });
    await refused({ servers });
    await refused({ servers, authenticator: seedOf(otherSeed) });
    const enter = async (options) => {
      const connection = await connect({ servers, ...options });
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

// Streams and services of another account: on a server with a configuration of its own, in clear.
import { connect, headers, RequestError } from "@nats-io/transport-node";
import { Mailbox, must, waitMs } from "./harness.mjs";
import { guarded } from "./login.mjs";

const requests = 200;
const config = `accounts {
 EXP { users: [ {user: exporter, password: p} ], exports: [ {stream: "news.>"}, {service: "ask.*"} ] }
 IMP { users: [ {user: importer, password: p} ]
  imports: [ {stream: {account: EXP, subject: "news.>"}, prefix: far}
   {service: {account: EXP, subject: "ask.*"}, to: "far.ask.*"} ] }
}
`;

async function streams(exporter, importer) {
  const near = new Mailbox(importer, "news.*");
  const far = new Mailbox(importer, "far.news.*");
  await importer.flush();
  const fields = headers();
  fields.set("k", "v");
  exporter.publish("news.a", "first", { headers: fields });
  exporter.publish("news.b", "second");
  await exporter.flush();
  const message = await far.expect("far.news.a", "first");
  must(message.headers?.get("k") === "v", `headers ${message.headers}`);
  await far.expect("far.news.b", "second");
  await near.quiet();
}

async function services(exporter, importer) {
  let informed = 0;
  exporter.subscribe("ask.*", {
    callback: (_, request) => {
      informed += request.headers?.get("Nats-Request-Info") ? 1 : 0;
      request.respond(`${request.subject} ${request.string()}`);
    },
  });
  await exporter.flush();
  for (let number = 0; number < requests; number++) {
    const reply = await importer.request(`far.ask.${number}`, "?", { timeout: waitMs });
    must(reply.string() === `ask.${number} ?`, `got ${reply.string()}`);
  }
  must(informed === requests, `${informed} of ${requests} requests said who asks`);
  const error = await importer.request("ask.x", "", { timeout: waitMs }).then(() => undefined, (reason) => reason);
  must(error instanceof RequestError && error.isNoResponders(), `expected no responders, got ${error}`);
}

/** A stream with a prefix and a service by another name, from one account to the other. */
export async function accounts(run) {
  await guarded(run, config, async (servers) => {
    const exporter = await connect({ servers, user: "exporter", pass: "p" });
    const importer = await connect({ servers, user: "importer", pass: "p" });
    run.open.push(exporter, importer);
    await streams(exporter, importer);
    await services(exporter, importer);
    await Promise.all(run.open.map((connection) => connection.close()));
  });
}

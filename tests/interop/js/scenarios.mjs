// What is checked. Publisher and subscriber are different connections, so that a server of many threads has them on
// different ones, and a flush of the subscriber stands between SUB and the first publish.
import { connect, headers, RequestError } from "@nats-io/transport-node";
import { accounts } from "./accounts.mjs";
import { logins } from "./login.mjs";
import { freePort, killServer, Mailbox, must, startServer, until, waitMs } from "./harness.mjs";

const members = 4;
const queueMessages = 400;
const requests = 200;
const drainMessages = 2000;
const mixedBytes = 10 * 1024 * 1024;
const mixedUnread = 64; // messages sent ahead of the comparison
const maxPayload = 1024 * 1024;
const reconnectMs = 15000;
const afterReconnect = 100;

/** TLS with a certificate, when INTEROP_TLS names a folder with ca.pem, client.pem and client.key. */
function secure() {
  const folder = process.env.INTEROP_TLS;
  if (folder === undefined) {
    return {};
  }
  return { tls: { caFile: `${folder}/ca.pem`, certFile: `${folder}/client.pem`, keyFile: `${folder}/client.key` } };
}

async function open(run, count, options = {}) {
  const connections = [];
  for (let i = 0; i < count; i++) {
    const connection = await connect({ servers: run.url, ...secure(), ...options });
    run.open.push(connection);
    connections.push(connection);
  }
  return connections;
}

async function publishSubscribe(run) {
  const [publisher, subscriber] = await open(run, 2);
  const literal = new Mailbox(subscriber, "interop.js.orders.eu");
  const star = new Mailbox(subscriber, "interop.js.*.eu");
  const tail = new Mailbox(subscriber, "interop.js.>");
  await subscriber.flush();
  publisher.publish("interop.js.orders.eu", "one");
  publisher.publish("interop.js.bills.eu", "two");
  publisher.publish("interop.js.bills.eu.late");
  publisher.publish("interop.js", "matches nothing");
  await publisher.flush();
  await literal.expect("interop.js.orders.eu", "one");
  await star.expect("interop.js.orders.eu", "one");
  await star.expect("interop.js.bills.eu", "two");
  await tail.expect("interop.js.orders.eu", "one");
  await tail.expect("interop.js.bills.eu", "two");
  await tail.expect("interop.js.bills.eu.late", "");

  star.subscription.unsubscribe();
  await subscriber.flush();
  const before = subscriber.stats().inMsgs;
  publisher.publish("interop.js.orders.eu", "three");
  await publisher.flush();
  await subscriber.flush();
  await literal.expect("interop.js.orders.eu", "three");
  await tail.expect("interop.js.orders.eu", "three");
  await literal.quiet();
  await tail.quiet();
  must(subscriber.stats().inMsgs === before + 2, "a message came for a subscription that was gone");
}

async function autoUnsubscribe(run) {
  const [publisher, subscriber] = await open(run, 2);
  const limited = new Mailbox(subscriber, "interop.js.limited", { max: 3 });
  const unlimited = new Mailbox(subscriber, "interop.js.limited");
  await subscriber.flush();
  for (let i = 0; i < 6; i++) {
    publisher.publish("interop.js.limited", String(i));
  }
  await publisher.flush();
  for (let i = 0; i < 6; i++) {
    if (i < 3) {
      await limited.expect("interop.js.limited", String(i));
    }
    await unlimited.expect("interop.js.limited", String(i));
  }
  await subscriber.flush();
  const { inMsgs } = subscriber.stats();
  must(inMsgs === 9, `the server sent ${inMsgs} messages, expected 9`);
}

// Every message reaches one member of the group and the plain subscriber; no member stays without.
async function queueGroups(run) {
  const [publisher, ...connections] = await open(run, members + 1);
  const group = connections.map((connection, i) =>
    new Mailbox(connection, ["interop.js.work.>", "interop.js.work.*"][i % 2], { queue: "workers" })
  );
  const plain = new Mailbox(connections[0], "interop.js.work.a");
  await Promise.all(connections.map((connection) => connection.flush()));
  for (let i = 0; i < queueMessages; i++) {
    publisher.publish("interop.js.work.a", String(i));
  }
  await publisher.flush();
  for (let i = 0; i < queueMessages; i++) {
    await plain.expect("interop.js.work.a", String(i));
  }
  await Promise.all(connections.map((connection) => connection.flush()));
  await plain.quiet();
  const seen = new Array(queueMessages).fill(0);
  for (const [i, member] of group.entries()) {
    let last = -1;
    for (const message of member.messages) {
      const number = Number(message.string());
      must(number > last && number < queueMessages, `${number} after ${last}`);
      seen[number]++;
      last = number;
    }
    must(last >= 0, `member ${i} got nothing`);
  }
  must(seen.every((count) => count === 1), `deliveries: ${seen}`);
}

async function requestReply(run) {
  const [requester, service] = await open(run, 2);
  service.subscribe("interop.js.service", {
    callback: (_, request) => request.respond(`re: ${request.string()}`),
  });
  await service.flush();
  for (let i = 0; i < requests; i++) {
    const reply = await requester.request("interop.js.service", `question ${i}`, { timeout: waitMs });
    must(reply.string() === `re: question ${i}`, `got "${reply.string()}" for question ${i}`);
  }
}

// A request that nobody serves is answered at once, not by running out of time.
async function noResponders(run) {
  const [requester, service] = await open(run, 2);
  const unserved = async () => {
    const started = Date.now();
    try {
      await requester.request("interop.js.nobody", "?", { timeout: waitMs });
    } catch (error) {
      must(error instanceof RequestError && error.isNoResponders(), `expected no responders, got ${error}`);
      must(Date.now() - started < waitMs / 2, "no responders took too long");
      return;
    }
    must(false, "a request that nobody serves was answered");
  };
  await unserved();
  const subscription = service.subscribe("interop.js.nobody", {
    callback: (_, request) => request.respond(),
  });
  await service.flush();
  await requester.request("interop.js.nobody", "?", { timeout: waitMs });
  subscription.unsubscribe();
  await service.flush();
  await unserved();
}

async function headerFields(run) {
  const [publisher, subscriber] = await open(run, 2);
  const mailbox = new Mailbox(subscriber, "interop.js.headers");
  await subscriber.flush();
  for (const payload of ["", "hello"]) {
    const fields = headers();
    fields.set("Trace-Id", "42");
    fields.set("lower-case", "a: b  c");
    fields.append("Many", "first");
    fields.append("Many", "second");
    publisher.publish("interop.js.headers", payload, { headers: fields, reply: "interop.js.reply" });
    await publisher.flush();
    const message = await mailbox.expect("interop.js.headers", payload);
    must(message.reply === "interop.js.reply", `reply ${message.reply}`);
    must(message.headers?.get("Trace-Id") === "42", "Trace-Id");
    must(message.headers.get("lower-case") === "a: b  c", "lower-case");
    must(message.headers.values("Many").join() === "first,second", "Many");
    must(message.headers.keys().length === 3, `keys ${message.headers.keys()}`);
  }
  publisher.publish("interop.js.headers", "none");
  const message = await mailbox.expect("interop.js.headers", "none");
  must(message.headers === undefined, "headers out of nowhere");
}

// A drained connection hands over all that was published before, gets nothing more, and closes by itself; what it
// published before arrives.
async function drain(run) {
  const [publisher, subscriber] = await open(run, 2);
  const mailbox = new Mailbox(subscriber, "interop.js.drain");
  const witness = new Mailbox(publisher, "interop.js.last");
  await Promise.all([publisher.flush(), subscriber.flush()]);
  for (let i = 0; i < drainMessages; i++) {
    publisher.publish("interop.js.drain", String(i));
  }
  await publisher.flush();
  subscriber.publish("interop.js.last", "bye");
  await subscriber.drain();
  must(subscriber.isClosed(), "the drained connection did not close");
  await witness.expect("interop.js.last", "bye");
  publisher.publish("interop.js.drain", "too late");
  await publisher.flush();
  must(mailbox.messages.length === drainMessages, `got ${mailbox.messages.length} of ${drainMessages}`);
  mailbox.messages.forEach((message, i) => must(message.string() === String(i), `message ${i}`));
}

// Sizes around what servers and kernels round to, small ones more often.
const mixedSizes = [0, 1, 16, 127, 128, 512, 1000, 4095, 4096, 8191, 16384, 3, 65535, 65536, 2, 300, 32767, 100000,
  65537, 7, 40000, 262144, 11, 1024, 600, 20000, 2048];

// A message's bytes, made from its number; zero bytes, CR LF and all others occur.
function mixedPayload(number) {
  const size = number === 100 ? maxPayload : mixedSizes[number % mixedSizes.length];
  const payload = new Uint8Array(size);
  let state = Math.imul(number + 1, 2654435761);
  for (let i = 0; i < size; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    payload[i] = state >>> 24;
  }
  return payload;
}

// Every third message travels with a header.
async function mixedMessages(run) {
  const [publisher, subscriber] = await open(run, 2);
  const mailbox = new Mailbox(subscriber, "interop.js.mixed.>");
  await subscriber.flush();
  let sent = 0;
  let compared = 0;
  let bytes = 0;
  while (bytes < mixedBytes || compared < sent) {
    if (bytes < mixedBytes && sent - compared < mixedUnread) {
      const payload = mixedPayload(sent);
      const options = {};
      if (sent % 3 === 0) {
        options.headers = headers();
        options.headers.set("Number", String(sent));
      }
      publisher.publish(`interop.js.mixed.${sent % 7}`, payload, options);
      bytes += payload.length;
      sent++;
      continue;
    }
    const message = await mailbox.next();
    const header = compared % 3 === 0 ? String(compared) : undefined;
    must(message.subject === `interop.js.mixed.${compared % 7}`, `subject ${message.subject}`);
    must(Buffer.compare(message.data, mixedPayload(compared)) === 0, `message ${compared} has other bytes`);
    must(message.headers?.get("Number") === header, `message ${compared} has other headers`);
    mailbox.messages[compared] = undefined; // ten megabytes need not stay
    compared++;
  }
}

// The server is killed and started again on its port; the subscriptions come back.
async function reconnect(run) {
  const port = await freePort();
  let server = await startServer(run.binary, port);
  try {
    const own = { url: `127.0.0.1:${port}`, open: run.open };
    const options = { reconnectTimeWait: 50, reconnectJitter: 0, maxReconnectAttempts: 300 };
    const [publisher, subscriber] = await open(own, 2, options);
    const reconnected = new Set();
    const lost = new Set();
    for (const connection of [publisher, subscriber]) {
      (async () => {
        for await (const status of connection.status()) {
          if (status.type === "reconnect") {
            reconnected.add(connection);
          } else if (status.type === "disconnect") {
            lost.add(connection);
          }
        }
      })();
    }
    const plain = new Mailbox(subscriber, "interop.js.again.*");
    const queue = new Mailbox(subscriber, "interop.js.again.>", { queue: "q" });
    const gone = new Mailbox(subscriber, "interop.js.again.>");
    gone.subscription.unsubscribe();
    await subscriber.flush();
    publisher.publish("interop.js.again.a", "before");
    await plain.expect("interop.js.again.a", "before");
    await queue.expect("interop.js.again.a", "before");

    await killServer(server);
    await until(() => lost.size === 2, waitMs, "the clients notice the loss");
    server = await startServer(run.binary, port);
    await until(() => reconnected.size === 2, reconnectMs, "reconnect");
    await subscriber.flush();
    for (let i = 0; i < afterReconnect; i++) {
      publisher.publish("interop.js.again.b", String(i));
    }
    await publisher.flush();
    for (let i = 0; i < afterReconnect; i++) {
      await plain.expect("interop.js.again.b", String(i));
      await queue.expect("interop.js.again.b", String(i));
    }
    await subscriber.flush();
    await plain.quiet();
    must(gone.messages.length === 0, "a subscription that was gone came back");
    await Promise.all([publisher.close(), subscriber.close()]);
  } finally {
    await killServer(server);
  }
}

export const scenarios = [
  { name: "publish_subscribe", play: publishSubscribe },
  { name: "auto_unsubscribe", play: autoUnsubscribe },
  { name: "queue_groups", play: queueGroups },
  { name: "request_reply", play: requestReply },
  { name: "no_responders", play: noResponders },
  { name: "headers", play: headerFields },
  { name: "drain", play: drain },
  { name: "mixed_bytes", play: mixedMessages },
  { name: "reconnect", play: reconnect, needsBinary: true },
  { name: "logins", play: logins, needsBinary: true },
  { name: "accounts", play: accounts, needsBinary: true },
];

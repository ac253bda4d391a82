// What is checked of NATS Streaming, by stan.js (node-nats-streaming): the scenarios of `main.mjs --streaming`. Channels
// are named after their scenario, so that all of them can use one server.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import stan from "node-nats-streaming";
import { freePort, killServer, must, quietMs, startServer, until, waitMs } from "./harness.mjs";

const clusterId = "test-cluster";
const asyncPublishes = 500;
const groupMembers = 3;
const groupMessages = 60;
const redeliverAfterMs = 2000;
const betweenMs = 700; // a subscription by time has as long as that to reach the server
const beforeKill = 40;
const afterKill = 20;
const reconnectMs = 15000;

/** Waits for one of the events of `source`; "error" and "timeout" are failures. */
export async function event(source, name) {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), waitMs);
  try {
    const wrong = once(source, "timeout", { signal: limit.signal }).then(([error]) => Promise.reject(error));
    wrong.catch(() => {}); // heard or not, it is somebody's
    return await Promise.race([once(source, name, { signal: limit.signal }), wrong]);
  } finally {
    clearTimeout(timer);
    limit.abort();
  }
}

/** The client says some errors as plain text. */
function asError(reason) {
  return reason instanceof Error ? reason : new Error(reason);
}

/** A streaming connection, which is closed whatever happens. */
export async function connect(run, client, options = {}) {
  const connection = stan.connect(clusterId, client, { url: run.url, ...options });
  let open = true;
  connection.on("close", () => (open = false));
  const closer = async () => {
    if (open) {
      const closed = event(connection, "close");
      connection.close();
      await closed;
    }
  };
  try {
    await event(connection, "connect");
  } catch (error) {
    throw asError(error);
  }
  connection.on("error", (error) => console.error(`${client}: ${error}`));
  run.open.push({ close: closer });
  return { connection, close: closer };
}

function publish(connection, channel, text) {
  return new Promise((resolve, reject) => {
    connection.publish(channel, text, (error, guid) => (error ? reject(asError(error)) : resolve(guid)));
  });
}

async function store(connection, channel, from, to) {
  for (let i = from; i <= to; i++) {
    await publish(connection, channel, String(i));
  }
}

/** A subscription whose messages wait to be taken one by one. Acknowledgements are the caller's. */
class Listener {
  static async open(connection, channel, set = () => {}, group = undefined) {
    const listener = new Listener();
    const options = connection.subscriptionOptions().setManualAckMode(true);
    set(options);
    listener.messages = [];
    listener.taken = 0;
    listener.subscription =
      group === undefined ? connection.subscribe(channel, options) : connection.subscribe(channel, group, options);
    listener.subscription.on("message", (message) => listener.messages.push(message));
    await event(listener.subscription, "ready");
    return listener;
  }

  waiting() {
    return this.messages.length - this.taken;
  }

  async take() {
    await until(() => this.waiting() > 0, waitMs, "next message");
    return this.messages[this.taken++];
  }

  /** Takes messages and compares their numbers and payloads, which are equal as store() writes them. */
  async sequence(from, to) {
    for (let i = from; i <= to; i++) {
      const message = await this.take();
      must(
        message.getSequence() === i && message.getData().toString() === String(i) && !message.isRedelivered(),
        `got ${message.getSequence()} "${message.getData()}" (again: ${message.isRedelivered()}), expected ${i}`,
      );
      message.ack();
    }
  }

  async silent() {
    await sleep(quietMs);
    must(this.waiting() === 0, "a message came that should not");
  }

  async end(how) {
    const ended = event(this.subscription, how === "close" ? "closed" : "unsubscribed");
    this.subscription[how]();
    await ended;
  }
}

/** Every number once over all listeners. */
async function each(listeners, from, to) {
  const seen = new Set();
  while (seen.size < to - from + 1) {
    await until(() => listeners.some((l) => l.waiting() > 0), waitMs, `${seen.size} came, the next`);
    const message = await listeners.find((l) => l.waiting() > 0).take();
    const sequence = message.getSequence();
    must(sequence >= from && sequence <= to && !seen.has(sequence), `${sequence} came`);
    seen.add(sequence);
    message.ack();
  }
  for (const listener of listeners) {
    await listener.silent();
  }
}

async function publishes(run) {
  const publisher = await connect(run, "js-publisher");
  const subscriber = await connect(run, "js-subscriber");
  const listener = await Listener.open(subscriber.connection, "js.publish");
  await store(publisher.connection, "js.publish", 1, 3);
  const acknowledged = [];
  const guids = [];
  for (let i = 4; i < 4 + asyncPublishes; i++) {
    guids.push(
      publisher.connection.publish("js.publish", String(i), (error, guid) => acknowledged.push(error ?? guid)),
    );
  }
  await until(() => acknowledged.length === asyncPublishes, waitMs, "acknowledgements");
  must(new Set(guids).size === asyncPublishes && guids.every((guid) => acknowledged.includes(guid)), "guids");
  await listener.sequence(1, 3 + asyncPublishes);
  const error = await publish(publisher.connection, "js.*", "x").catch((reason) => reason);
  must(error.message === "stan: invalid publish request", `a publish to a wildcard got ${error}`);
}

async function startPositions(run) {
  const { connection } = await connect(run, "js-positions");
  const channel = "js.positions";
  await store(connection, channel, 1, 3);
  await sleep(20); // these put a time between the messages; nothing is waited for
  const between = Date.now();
  await sleep(betweenMs);
  await store(connection, channel, 4, 6);
  const rows = [
    [(o) => o.setDeliverAllAvailable(), 1],
    [(o) => o.setStartWithLastReceived(), 6],
    [(o) => o.setStartAtSequence(3), 3],
    [(o) => o.setStartTime(new Date(between)), 4],
    [(o) => o.setStartAtTimeDelta(Date.now() - between), 4],
    [(o) => o.setStartAtTimeDelta(3600 * 1000), 1],
  ];
  const listeners = [];
  for (const [set, first] of rows) {
    const listener = await Listener.open(connection, channel, set);
    await listener.sequence(first, 6);
    listeners.push(listener);
  }
  listeners.push(await Listener.open(connection, channel));
  await store(connection, channel, 7, 7);
  for (const listener of listeners) {
    await listener.sequence(7, 7);
    await listener.silent();
  }
}

async function durable(run) {
  let client = await connect(run, "js-durable");
  const channel = "js.durable";
  const fromTheFirst = (o) => o.setDurableName("d").setDeliverAllAvailable();
  await store(client.connection, channel, 1, 4);
  let listener = await Listener.open(client.connection, channel, fromTheFirst);
  await listener.sequence(1, 4);
  await listener.end("close");
  await store(client.connection, channel, 5, 6);
  listener = await Listener.open(client.connection, channel, fromTheFirst);
  await listener.sequence(5, 6);
  const error = await Listener.open(client.connection, channel, fromTheFirst).catch((reason) => reason);
  must(error.message === "stan: duplicate durable registration", `a second one got ${error}`);
  await client.close();
  client = await connect(run, "js-durable");
  await store(client.connection, channel, 7, 7);
  listener = await Listener.open(client.connection, channel, (o) => o.setDurableName("d"));
  await listener.sequence(7, 7);
  await listener.end("unsubscribe");
  listener = await Listener.open(client.connection, channel, fromTheFirst);
  await listener.sequence(1, 7);
}

async function queueGroup(run) {
  const publisher = await connect(run, "js-group-publisher");
  const listeners = [];
  for (let i = 0; i < groupMembers; i++) {
    const { connection } = await connect(run, `js-member-${i}`);
    listeners.push(await Listener.open(connection, "js.group", (o) => o.setMaxInFlight(5), "workers"));
  }
  const plain = await Listener.open(publisher.connection, "js.group");
  await store(publisher.connection, "js.group", 1, groupMessages);
  await each(listeners, 1, groupMessages);
  await plain.sequence(1, groupMessages);
}

async function durableQueueGroup(run) {
  const { connection } = await connect(run, "js-durable-group");
  const channel = "js.durable.group";
  const open = async () => {
    const listeners = [];
    for (let i = 0; i < groupMembers; i++) {
      const set = (o) => o.setDurableName("d").setDeliverAllAvailable();
      listeners.push(await Listener.open(connection, channel, set, "workers"));
    }
    return listeners;
  };
  await store(connection, channel, 1, 10);
  let listeners = await open();
  await each(listeners, 1, 10);
  for (const listener of listeners) {
    await listener.end("close");
  }
  await store(connection, channel, 11, 20);
  listeners = await open();
  await each(listeners, 11, 20);
  for (const listener of listeners) {
    await listener.end("unsubscribe");
  }
  await each(await open(), 1, 20);
}

async function redelivery(run) {
  const { connection } = await connect(run, "js-redelivery");
  const channel = "js.redelivery";
  const listener = await Listener.open(connection, channel, (o) => o.setAckWait(redeliverAfterMs).setMaxInFlight(4));
  await store(connection, channel, 1, 6);
  const messages = [];
  for (let i = 0; i < 4; i++) {
    messages.push(await listener.take());
  }
  await listener.silent(); // four are out and none is acknowledged
  messages[0].ack();
  messages[2].ack();
  await listener.sequence(5, 6);
  for (const sequence of [2, 4]) {
    const message = await listener.take();
    must(
      message.isRedelivered() && message.getRedeliveryCount() === 1 && message.getSequence() === sequence,
      `got ${message.getSequence()}, expected ${sequence} again`,
    );
    message.ack();
  }
  await store(connection, channel, 7, 7);
  await listener.sequence(7, 7);
}

async function clients(run) {
  const first = await connect(run, "js-same");
  const error = await connect(run, "js-same").catch((reason) => reason);
  must(error.message === "stan: clientID already registered", `the second one got ${error}`);
  const listener = await Listener.open(first.connection, "js.clients");
  await listener.end("unsubscribe");
  await store(first.connection, "js.clients", 1, 1);
  await listener.silent();
  await first.close();
  const late = await publish(first.connection, "js.clients", "x").catch((reason) => reason);
  must(late.message === "stan: Connection closed", `a publish after close got ${late}`);
  await (await connect(run, "js-same")).close();
}

/** Returns when streaming is served, which may be later than when the port accepts. */
async function ready(run) {
  let found = false;
  const look = async () => {
    await (await connect(run, "js-ready", { connectTimeout: 200 })).close();
    found = true;
  };
  for (const giveUp = Date.now() + reconnectMs; !found; ) {
    await look().catch((error) => must(Date.now() < giveUp, `not ready: ${error}`));
  }
}

/** The server is killed and started again on its port and its folder, while publishers and subscribers stay. */
async function restart(outer) {
  const port = await freePort();
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "interop-js-"));
  const words = ["-st", "FILE", "-dir", folder];
  const run = { url: `nats://127.0.0.1:${port}`, open: outer.open };
  let server = await startServer(outer.binary, port, words);
  try {
    await ready(run);
    const again = { reconnectTimeWait: 50, maxReconnectAttempts: 300, stanMaxPingOut: 100 };
    const client = await connect(run, "js-restart", again);
    const { connection } = client;
    let reconnects = 0;
    connection.on("reconnect", () => reconnects++);
    const channel = "js.restart";
    const durableName = (name) => (o) => o.setDurableName(name).setAckWait(redeliverAfterMs);
    const plain = await Listener.open(connection, channel);
    const open = await Listener.open(connection, channel, durableName("d"));
    const closed = await Listener.open(connection, channel, durableName("closed"));
    await store(connection, channel, 1, beforeKill);
    await plain.sequence(1, beforeKill);
    await closed.sequence(1, beforeKill);
    for (let i = 1; i <= beforeKill; i++) {
      const message = await open.take();
      if (i !== 7) {
        message.ack();
      }
    }
    await closed.end("close");
    // What was acknowledged before that answer is stored when this is.
    await store(connection, `${channel}.behind`, 1, 1);

    await killServer(server);
    server = await startServer(outer.binary, port, words);
    await until(() => reconnects > 0, reconnectMs, "reconnect");
    await ready(run);
    await store(connection, channel, beforeKill + 1, beforeKill + afterKill);
    let next = beforeKill + 1;
    for (let again7 = false; next <= beforeKill + afterKill || !again7; ) {
      const message = await open.take();
      message.ack();
      must(
        message.isRedelivered() ? message.getSequence() === 7 && !again7 : message.getSequence() === next,
        `got ${message.getSequence()}, expected ${next}`,
      );
      again7 ||= message.isRedelivered();
      next += message.isRedelivered() ? 0 : 1;
    }
    const resumed = await Listener.open(connection, channel, durableName("closed"));
    await resumed.sequence(beforeKill + 1, beforeKill + afterKill);
    const all = await Listener.open(connection, channel, (o) => o.setDeliverAllAvailable());
    await all.sequence(1, beforeKill + afterKill);
    await plain.sequence(beforeKill + 1, beforeKill + afterKill);
    await client.close();
  } finally {
    await killServer(server);
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

export const scenarios = [
  { name: "publish", play: publishes },
  { name: "start_positions", play: startPositions },
  { name: "durable", play: durable },
  { name: "queue_group", play: queueGroup },
  { name: "durable_queue_group", play: durableQueueGroup },
  { name: "redelivery", play: redelivery },
  { name: "clients", play: clients },
  { name: "restart", play: restart, needsBinary: true },
];

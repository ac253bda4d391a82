// What ../go/history.go does, by stan.js: `main.mjs --history URLS NAME`.
import readline from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { must } from "./harness.mjs";
import { connect, event } from "./streaming.mjs";

const window = 16; // publishes that wait for their acknowledgement
const ahead = 200; // acknowledged publishes in front of the slower durable
const ackWaitMs = 1000; // then a publish has failed; a delivery is repeated
const answerMs = 10000; // in which a client that connects is answered
const durables = [
  { name: "one", inFlight: 1 },
  { name: "many", inFlight: 64 },
];

function say(...words) {
  process.stdout.write(`${words.join(" ")}\n`);
}

class History {
  constructor(urls, name) {
    this.name = name;
    this.run = { open: [] };
    this.options = {
      servers: urls.split(","),
      url: undefined,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 50,
      stanPingInterval: 1000,
      stanMaxPingOut: 100,
      ackTimeout: ackWaitMs,
    };
    this.waiting = 0;
    this.acknowledged = 0;
    this.passed = 0; // the last sequence that the durable with one in flight has had
    this.stopping = false;
  }

  /** A client that looks for another server for as long as it takes, and asks again where nobody answers. */
  async connect(client) {
    let opened;
    for (const giveUp = Date.now() + answerMs; opened === undefined; ) {
      opened = await connect(this.run, `${this.name}-${client}`, this.options).catch((error) =>
        must(Date.now() < giveUp, `connect ${client}: ${error}`),
      );
    }
    opened.connection.on("connection_lost", (error) => {
      console.error(`${client}: connection lost: ${error}`);
      process.exit(1);
    });
    return opened;
  }

  async subscribe() {
    this.subscriber = await this.connect("subscriber");
    const { connection } = this.subscriber;
    for (const { name, inFlight } of durables) {
      const options = connection.subscriptionOptions().setManualAckMode(true).setDurableName(name);
      options.setMaxInFlight(inFlight).setAckWait(ackWaitMs).setDeliverAllAvailable();
      const subscription = connection.subscribe(this.name, options);
      subscription.on("message", (message) => {
        say("delivered", name, message.getSequence(), message.getData(), Number(message.isRedelivered()));
        if (inFlight === 1) {
          this.passed = Math.max(this.passed, message.getSequence());
        }
        message.ack();
      });
      await event(subscription, "ready");
    }
  }

  /** Publishes numbers until it is told to stop, and returns when each has been acknowledged or has failed. */
  async publish({ connection }) {
    for (let number = 1; !this.stopping; ) {
      if (this.waiting >= window || this.acknowledged >= this.passed + ahead) {
        await sleep(1);
        continue;
      }
      const mine = number++;
      this.waiting++;
      connection.publish(this.name, String(mine), (error) => {
        this.waiting--;
        this.acknowledged += error ? 0 : 1;
        say(...(error ? ["failed", mine, error] : ["acknowledged", mine]));
      });
    }
    while (this.waiting > 0) {
      await sleep(1);
    }
  }

  async replay() {
    const { connection } = await this.connect("reader");
    const subscription = connection.subscribe(
      this.name,
      connection.subscriptionOptions().setDeliverAllAvailable(),
    );
    subscription.on("message", (message) =>
      say("replayed", message.getSequence(), message.getData(), Number(message.isRedelivered())),
    );
    await event(subscription, "ready");
  }
}

export async function playHistory(urls, name) {
  const history = new History(urls, name);
  await history.subscribe();
  const publisher = await history.connect("publisher");
  const published = history.publish(publisher);
  say("ready");
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (line === "resume") {
      await history.subscriber.close();
      await history.subscribe();
      say("resumed");
    } else if (line === "stop") {
      history.stopping = true;
      await published;
      say("stopped");
    } else if (line === "replay") {
      await history.replay();
    }
  }
  await Promise.all(history.run.open.map((opened) => opened.close()));
}

// What the scenarios of the JavaScript client share: a mailbox per subscription, and a server of one's own for the
// scenario that kills it.
import { spawn } from "node:child_process";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export const waitMs = 5000; // for what must come
export const quietMs = 50; // for what must not come, behind a flush of both sides
const startMs = 10000;

export function must(condition, text) {
  if (!condition) {
    throw new Error(text);
  }
}

/** Waits until `condition()` holds, at most `limitMs`. */
export async function until(condition, limitMs, what) {
  const giveUp = Date.now() + limitMs;
  while (!condition()) {
    must(Date.now() < giveUp, `${what}: not within ${limitMs} ms`);
    await sleep(5);
  }
}

/** A subscription whose messages wait to be taken one by one. */
export class Mailbox {
  constructor(connection, subject, options = {}) {
    this.messages = [];
    this.taken = 0;
    this.subscription = connection.subscribe(subject, {
      ...options,
      callback: (error, message) => this.messages.push(error ?? message),
    });
  }

  async next() {
    await until(() => this.messages.length > this.taken, waitMs, "next message");
    const message = this.messages[this.taken++];
    must(!(message instanceof Error), `subscription failed: ${message}`);
    return message;
  }

  async expect(subject, payload) {
    const message = await this.next();
    must(
      message.subject === subject && message.string() === payload,
      `got "${message.string()}" on ${message.subject}, expected "${payload}" on ${subject}`,
    );
    return message;
  }

  async quiet() {
    await sleep(quietMs);
    must(this.messages.length === this.taken, "a message came that should not");
  }
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const listener = net.createServer();
    listener.on("error", reject);
    listener.listen(0, "127.0.0.1", () => {
      const { port } = listener.address();
      listener.close(() => resolve(port));
    });
  });
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.on("connect", () => socket.end(() => resolve(true)));
    socket.on("error", () => resolve(false));
  });
}

/** Starts the server and waits until it accepts. */
export async function startServer(binary, port, more = []) {
  const flags = (process.env.MYELIN_FLAGS ?? "").split(" ").filter((word) => word !== "");
  const server = spawn(binary, ["-a", "127.0.0.1", "-p", String(port), ...flags, ...more], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const killWithUs = () => server.kill("SIGKILL");
  process.on("exit", killWithUs);
  server.on("exit", () => process.off("exit", killWithUs));
  const giveUp = Date.now() + startMs;
  while (!(await accepts(port))) {
    must(server.exitCode === null && Date.now() < giveUp, `${binary} does not accept on port ${port}`);
    await sleep(20);
  }
  return server;
}

/** Ends it as a power cut would. */
export async function killServer(server) {
  if (server.exitCode === null && server.signalCode === null) {
    const gone = new Promise((resolve) => server.once("exit", resolve));
    server.kill("SIGKILL");
    await gone;
  }
}

// The JavaScript client (nats.js) against a NATS-compatible server.
//
// Usage: node main.mjs [--streaming] URL [SERVER_BINARY]. Prints a line per scenario, then "N passed, N failed,
// N skipped"; the exit code is 0 only when nothing failed. MYELIN_FLAGS holds further words for the server that reconnect
// starts. --streaming: stan.js's scenarios. main.mjs --history URLS NAME is something else: history.mjs.
if (process.argv[2] === "--history") {
  const { playHistory } = await import("./history.mjs");
  await playHistory(process.argv[3], process.argv[4]);
  process.exit(0);
}
const streaming = process.argv[2] === "--streaming";
const { scenarios } = await import(streaming ? "./streaming.mjs" : "./scenarios.mjs");
const [url, binary] = process.argv.slice(streaming ? 3 : 2);
if (url === undefined) {
  console.error("usage: node main.mjs [--streaming] URL [SERVER_BINARY]");
  process.exit(2);
}
let passed = 0;
let failed = 0;
let skipped = 0;
for (const scenario of scenarios) {
  const { name } = scenario;
  if (scenario.needsBinary && binary === undefined) {
    console.log(`skipped ${name}: no server binary was given`);
    skipped++;
    continue;
  }
  const started = Date.now();
  const open = []; // connections, closed whatever happens
  try {
    await scenario.play({ url, binary, open });
    passed++;
    console.log(`passed ${name} (${Date.now() - started} ms)`);
  } catch (error) {
    failed++;
    console.error(`${name}: ${error.stack}`);
    console.log(`FAILED ${name} (${Date.now() - started} ms)`);
  }
  await Promise.all(open.map((connection) => connection.close()));
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed === 0 ? 0 : 1);

"""The Python client (nats.py) against a NATS-compatible server.

Usage: main.py [--streaming] URL [SERVER_BINARY]. Prints a line per scenario, then "N passed, N failed, N skipped"; the
exit code is 0 only when nothing failed. MYELIN_FLAGS holds further words for the server that reconnect starts.
--streaming: stan.py's scenarios.
"""

import asyncio
import importlib
import sys
import time
import traceback


class Run:
    """One run of all scenarios against one server; connections in `open` are closed whatever happens."""

    def __init__(self, url, binary):
        self.url = url
        self.binary = binary
        self.open = []


async def main(module, url, binary):
    passed = failed = skipped = 0
    for scenario in module.SCENARIOS:
        name = scenario.__name__
        if scenario in module.NEEDS_BINARY and binary is None:
            print(f"skipped {name}: no server binary was given", flush=True)
            skipped += 1
            continue
        run = Run(url, binary)
        started = time.monotonic()
        try:
            await asyncio.wait_for(scenario(run), 60)
            verdict = "passed"
            passed += 1
        except Exception:  # whatever a scenario trips over is its failure
            traceback.print_exc()
            verdict = "FAILED"
            failed += 1
        print(f"{verdict} {name} ({int((time.monotonic() - started) * 1000)} ms)", flush=True)
        for connection in run.open:
            await connection.close()
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 0 if failed == 0 else 1


if __name__ == "__main__":
    words = sys.argv[1:]
    streaming = words[:1] == ["--streaming"]
    if streaming:
        words.pop(0)
    if len(words) not in (1, 2):
        sys.exit("usage: main.py [--streaming] URL [SERVER_BINARY]")
    chosen = importlib.import_module("streaming" if streaming else "scenarios")
    sys.exit(asyncio.run(main(chosen, words[0], words[1] if len(words) == 2 else None)))

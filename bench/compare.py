#!/usr/bin/env python3
"""bench/compare.py - a fixed set of workloads against Myelin and nats-server, alternating, and the table of ratios.

Each workload runs once per round on each server, on a fresh process, one server after the other, so that a noisy
moment hits all of them; the table shows medians. See docs/benchmarks.md. Only Python's own library is used.
"""
import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import plot  # noqa: E402  (bench/plot.py, beside this file)

START_SECONDS = 10
RUN_SECONDS = 180
NATS_MODULE = "github.com/nats-io/nats-server/v2@latest"
MYELIN, NATS, NATS_NEW, FLOOR = "myelin", "nats", "nats_new", "floor"


class Line:
    """One line of the table: a figure of a workload's report, and what DESIGN.md section 8 aims for."""

    def __init__(self, title, figure, unit, ratio=None, floor=None, most=None, divisor=1):
        self.title = title      # what stands in the table
        self.figure = figure    # its name in the report of myelin-bench
        self.unit = unit
        self.ratio = ratio      # the better nats-server's figure divided by Myelin's: at least this
        self.floor = floor      # Myelin's divided by the floor's: at most this
        self.most = most        # Myelin's figure itself: at most this
        self.divisor = divisor  # from the report's unit to the table's


class Workload:
    """Arguments for myelin-bench; `floor` are those of its relay-floor, with more messages, because it is so quick."""

    def __init__(self, name, arguments, lines, floor=None, rounds=None, tls=False):
        self.name = name
        self.tls = tls          # the servers get a certificate, and myelin-bench --tls
        self.arguments = arguments.split()
        self.lines = lines
        self.floor = floor.split() if floor else None
        self.rounds = rounds    # fewer than the others: memory hardly varies


def requests(title, aim_cpu):
    return [Line(f"{title}: CPU", "server_cpu_ns_per_message", "ns/request", ratio=aim_cpu),
            Line(f"{title}: p50", "latency_p50_ns", "us", ratio=1 / 0.6, divisor=1000),
            Line(f"{title}: p99", "latency_p99_ns", "us", ratio=1 / 0.6, divisor=1000)]


WORKLOADS = [
    Workload("one_to_one", "pubsub --messages 3000000 --size 16 --warmup 100000",
             [Line("1 publisher, 1 subscriber, 16 B", "server_cpu_ns_per_delivery", "ns/message", 7, 2.8)],
             "--messages 20000000 --size 16 --warmup 100000"),
    Workload("eight_subjects", "pubsub --messages 2000000 --size 16 --subjects 8 --subscribers 8 --warmup 100000",
             [Line("1 publisher, 8 subjects in turn, 16 B", "server_cpu_ns_per_delivery", "ns/message", 4)]),
    Workload("publish", "pub --messages 5000000 --size 16 --warmup 100000",
             [Line("publish, no interest, 16 B", "server_cpu_ns_per_message", "ns/message", 8)],
             "--messages 30000000 --size 16 --warmup 100000 --subscribers 0"),
    Workload("fan_out", "pubsub --messages 400000 --size 128 --subscribers 8 --warmup 20000",
             [Line("1 publisher, 8 subscribers, 128 B", "server_cpu_ns_per_delivery", "ns/delivery", 4, 1.25)],
             "--messages 2000000 --size 128 --subscribers 8 --warmup 20000"),
    Workload("ten_to_hundred",
             "pubsub --messages 300000 --size 128 --publishers 10 --subscribers 100 --subjects 10 --warmup 20000",
             [Line("10 publishers, 100 subscribers, 128 B", "server_cpu_ns_per_delivery", "ns/delivery", 4, 1.25)],
             "--messages 1500000 --size 128 --publishers 10 --subscribers 100 --subject bench.0 --warmup 20000"),
    Workload("request_1", "request --messages 10000 --warmup 500", requests("request, 1 at a time", 4)),
    Workload("request_64", "request --messages 150000 --in-flight 64 --warmup 5000",
             requests("requests, 64 at a time", 4)),
    Workload("tls", "pubsub --messages 2000000 --size 256 --warmup 100000",
             [Line("TLS 1.3, 1 publisher, 1 subscriber, 256 B", "server_cpu_ns_per_delivery", "ns/message", 3)], tls=True),
    Workload("tls_connect", "connect --connections 1000",
             [Line("TLS 1.3 handshake, ECDSA P-256", "server_cpu_ns_per_connection", "us/connection", 1, divisor=1000)],
             tls=True),
    Workload("idle", "idle --connections 1000",
             [Line("idle connection: memory", "server_memory_bytes_per_connection", "bytes", most=2048)], rounds=3),
    Workload("subscriptions", "subs --messages 1000000",
             [Line("subscription, of a million: memory", "server_memory_bytes_per_subscription", "bytes", most=160)],
             rounds=1),
]
# Myelin only: connections go to the shard with the fewest, so publisher and subscriber are on different ones of two.
SHARDS = Workload("two_shards", "pubsub --messages 3000000 --size 16 --warmup 100000", [])
SHARDS_AIM = 1.5


class Certificate:
    """A certificate for 127.0.0.1 that signs itself, made by openssl for this run alone."""

    def __init__(self, folder):
        self.file, self.key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", self.key, "-out", self.file, "-days", "2", "-subj", "/CN=bench", "-addext",
                        "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)

    def of_server(self):
        return ["--tls", "--tlscert", self.file, "--tlskey", self.key]

    def of_bench(self):
        return ["--tls", "--tlsca", self.file]


class Server:
    def __init__(self, key, path, arguments=()):
        self.key, self.path, self.arguments = key, path, list(arguments)
        self.title = key

    def start(self, more=()):
        """Starts it on a free port of 127.0.0.1 and waits until it accepts."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log = tempfile.TemporaryFile()
        process = subprocess.Popen([self.path, "-a", "127.0.0.1", "-p", str(port)] + self.arguments + list(more),
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return process, port
            except OSError:
                time.sleep(0.02)
        stop(process)
        log.seek(0)
        lines = log.read().decode(errors="replace").strip().splitlines()
        raise RuntimeError(f"{self.path} does not start: {lines[-1] if lines else 'it says nothing'}")


def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def measure(bench, arguments, server=None, certificate=None):
    """One run of myelin-bench; its report, or RuntimeError with its one line."""
    process, where = None, []
    if server:
        process, port = server.start(certificate.of_server() if certificate else ())
        where = ["--server", f"127.0.0.1:{port}", "--pid", str(process.pid)]
        where += certificate.of_bench() if certificate else []
    try:
        done = subprocess.run([bench] + arguments + where + ["--json", "--quiet"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"no end after {RUN_SECONDS} s") from None
    finally:
        if process:
            stop(process)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"exit code {done.returncode}")
    return json.loads(done.stdout)


def scaled(arguments, scale):
    """The same workload with fewer or more messages."""
    result = list(arguments)
    for i, word in enumerate(result[:-1]):
        if word in ("--messages", "--warmup") or word == "--connections" and result[0] == "connect":
            result[i + 1] = str(max(1, int(int(result[i + 1]) * scale)))
    return result


def run_workload(bench, workload, servers, rounds, scale):
    """The same with a certificate, where TLS is measured."""
    if not workload.tls:
        return run_rounds(bench, workload, servers, rounds, scale)
    with tempfile.TemporaryDirectory() as folder:
        try:
            certificate = Certificate(folder)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"compare: {workload.name} is left out: no certificate: {error}", file=sys.stderr)
            return {}
        return run_rounds(bench, workload, servers, rounds, scale, certificate)


def run_rounds(bench, workload, servers, rounds, scale, certificate=None):
    """{server key: [report of each round]}; the floor is one more server."""
    runs = [(server.key, workload.arguments, server) for server in servers]
    if workload.floor is not None:
        runs.append((FLOOR, ["relay-floor"] + workload.floor, None))
    reports = {key: [] for key, _, _ in runs}
    for number in range(min(rounds, workload.rounds or rounds)):
        for key, arguments, server in runs[number % len(runs):] + runs[:number % len(runs)]:
            print(f"{workload.name}, round {number + 1}, {key}", file=sys.stderr)
            try:
                reports[key].append(measure(bench, scaled(arguments, scale), server, certificate))
            except (RuntimeError, OSError, ValueError) as error:
                print(f"compare: {workload.name} on {key} failed: {error}", file=sys.stderr)
    return reports


def median(reports, figure):
    values = [report[figure] for report in reports if figure in report]
    return statistics.median(values) if values else None


def line_result(workload, line, reports):
    values = {}
    for key, list_of_reports in reports.items():
        value = median(list_of_reports, line.figure)
        if value is not None:
            values[key] = value / line.divisor
    # What a relay-floor run calls a message or a delivery is the same thing; memory and latency it has none.
    nats = [values[key] for key in (NATS, NATS_NEW) if key in values]
    result = {"workload": workload.name, "title": line.title, "unit": line.unit, "values": values,
              "nats_best": min(nats) if nats else None, "ratio": None, "over_floor": None, "aims": []}
    rate = {key: median(list_of_reports, "deliveries_per_s") or median(list_of_reports, "messages_per_s")
            for key, list_of_reports in reports.items()}
    result["per_s"] = {key: value for key, value in rate.items() if value}
    mine = values.get(MYELIN)
    if mine is None or mine <= 0:
        return result
    if nats:
        result["ratio"] = min(nats) / mine
        if line.ratio:
            result["aims"].append([f">= {line.ratio:.3g}x", result["ratio"] >= line.ratio])
    if FLOOR in values:
        result["over_floor"] = mine / values[FLOOR]
        if line.floor:
            result["aims"].append([f"<= {line.floor:g} floors", result["over_floor"] <= line.floor])
    if line.most:
        result["aims"].append([f"<= {line.most} {line.unit}", mine <= line.most])
    return result


def shards_result(reports):
    figure = "server_cpu_ns_per_delivery"
    two, one = median(reports["shards_2"], figure), median(reports["shards_1"], figure)
    if two is None or one is None:
        return None
    return {"two_ns": two, "one_ns": one, "ratio": two / one, "met": two / one <= SHARDS_AIM}


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def table_print(results, names):
    keys = [key for key in (FLOOR, MYELIN, NATS, NATS_NEW) if any(key in r["values"] for r in results)]
    head = ["workload", "unit"] + [names.get(key, key) for key in keys] + ["best nats/myelin", "myelin/floor", "aim"]
    rows = [head]
    for result in results:
        aims = ", ".join(f"{text} {'met' if met else 'MISSED'}" for text, met in result["aims"])
        rows.append([result["title"], result["unit"]] + [number(result["values"].get(key)) for key in keys] +
                    [f"{result['ratio']:.2f}" if result["ratio"] else "-",
                     f"{result['over_floor']:.2f}" if result["over_floor"] else "-", aims or "-"])
    rows_print(rows, 2)
    print("\nthroughput in 1/s (generator and server share the machine; CPU time is the measure):")
    rows = [["workload"] + [names.get(key, key) for key in keys]]
    seen = set()
    for result in results:
        if result["per_s"] and result["workload"] not in seen:
            seen.add(result["workload"])
            rows.append([result["workload"]] + [number(result["per_s"].get(key)) for key in keys])
    rows_print(rows, 1)


def rows_print(rows, left):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) if i < left or i == len(row) - 1 and left == 2 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())


def nats_new_find(path, build):
    """The given binary, or one made of the current Go module. None, and a line that says why."""
    if path:
        return path
    folder = os.path.join(build, "nats-server-current")
    binary = os.path.join(folder, "nats-server")
    if os.path.exists(binary):
        return binary
    if not shutil.which("go"):
        print("compare: no current nats-server: neither --nats-new nor go is there", file=sys.stderr)
        return None
    print(f"building {NATS_MODULE}", file=sys.stderr)
    done = subprocess.run(["go", "install", NATS_MODULE], check=False, capture_output=True, text=True,
                          env=dict(os.environ, GOBIN=os.path.abspath(folder)))
    if done.returncode == 0 and os.path.exists(binary):
        return binary
    last = (done.stderr.strip().splitlines() or ["go says nothing"])[-1]
    print(f"compare: no current nats-server: {last}", file=sys.stderr)
    return None


def servers_find(options):
    build = os.path.dirname(os.path.abspath(options.bench))
    paths = [(MYELIN, options.myelin), (NATS, options.nats), (NATS_NEW, nats_new_find(options.nats_new, build))]
    servers = []
    for key, path in paths:
        if path and os.access(path, os.X_OK):
            servers.append(Server(key, path))
        elif path:
            print(f"compare: {key} is left out: {path} is no program", file=sys.stderr)
    return servers


def options_parse():
    parser = argparse.ArgumentParser(description="Myelin and nats-server side by side; see docs/benchmarks.md")
    parser.add_argument("--bench", default="build/myelin-bench", help="the load generator")
    parser.add_argument("--myelin", default="build/myelin")
    parser.add_argument("--nats", default="/usr/sbin/nats-server", help="the distribution's nats-server")
    parser.add_argument("--nats-new", help="a current nats-server; default: built from its Go module")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on all message counts, 0.1 for a quick look")
    parser.add_argument("--only", help="workloads to run, with commas between")
    parser.add_argument("--json", default="build/bench.json", help="where all figures go")
    parser.add_argument("--plot", help="where a plot of the table goes, as SVG")
    parser.add_argument("--streaming", action="store_true", help="then NATS Streaming too: bench/streaming.py")
    options = parser.parse_args()
    names = [workload.name for workload in WORKLOADS] + [SHARDS.name]
    options.only = options.only.split(",") if options.only else names
    unknown = [name for name in options.only if name not in names]
    if unknown or options.rounds < 1 or options.scale <= 0:
        parser.error(f"workloads are {', '.join(names)}; rounds and scale are above 0")
    return options


def main():
    options = options_parse()
    servers = servers_find(options)
    if not servers or not os.access(options.bench, os.X_OK):
        print("compare: no server, or no myelin-bench, to run", file=sys.stderr)
        return 1
    everything, results, names = {}, [], {FLOOR: "floor", MYELIN: "myelin"}
    for workload in WORKLOADS:
        if workload.name not in options.only:
            continue
        reports = run_workload(options.bench, workload, servers, options.rounds, options.scale)
        everything[workload.name] = reports
        for key in (NATS, NATS_NEW):
            for report in reports.get(key, []):
                names[key] = f"nats {report['server']}"
        results += [line_result(workload, line, reports) for line in workload.lines]
    shards = None
    myelin = next((server for server in servers if server.key == MYELIN), None)
    if myelin and SHARDS.name in options.only:
        pair = [Server(f"shards_{n}", myelin.path, ["--shards", str(n)]) for n in (2, 1)]
        everything[SHARDS.name] = run_workload(options.bench, SHARDS, pair, options.rounds, options.scale)
        shards = shards_result(everything[SHARDS.name])
    table_print(results, names)
    if shards:
        print(f"\npublisher and subscriber on two shards {shards['two_ns']:.1f} ns, on one {shards['one_ns']:.1f} ns: "
              f"{shards['ratio']:.2f} times, aim <= {SHARDS_AIM} {'met' if shards['met'] else 'MISSED'}")
    machine = {"kernel": platform.release(), "cpus": os.cpu_count(), "rounds": options.rounds, "scale": options.scale}
    os.makedirs(os.path.dirname(os.path.abspath(options.json)), exist_ok=True)
    with open(options.json, "w", encoding="utf-8") as file:
        json.dump({"machine": machine, "names": names, "table": results, "shards": shards, "runs": everything}, file,
                  indent=1)
    if options.plot:
        with open(options.plot, "w", encoding="utf-8") as file:
            file.write(plot.svg(results, names))
    streaming = 0
    if options.streaming:
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "streaming.py")
        print("", flush=True)
        streaming = subprocess.run([sys.executable, script, "--bench", options.bench, "--myelin", options.myelin, "--rounds",
                                    str(options.rounds), "--scale", str(options.scale)], check=False).returncode
    complete = streaming == 0 and all(len(list_of_reports) > 0 for reports in everything.values() for list_of_reports in reports.values())
    return 0 if complete else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

"""What the Prometheus exporter of NATS derives from monitoring's documents, by its rules: names, labels and values.

A number of /varz, /subsz and /routez becomes a metric by the path of its keys; a text becomes one only where the exporter knows
the key, a moment in milliseconds, anything else as the label of a 1. A list becomes nothing. The other documents, and each route
of /routez, have tables of their own.
"""
import datetime
import re

LABELS = ("server_id", "server_name", "version", "domain", "leader", "name", "start", "config_load_time")
LEFT_OUT = ("leaf", "trusted_operators_claim", "cluster_tls_timeout", "cluster_cluster_port", "cluster_auth_timeout", "gateway_port",
            "gateway_auth_timeout", "gateway_tls_timeout", "gateway_connect_retries")
SPANS = {"y": 365 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1}
UNITS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


def moment_seconds(text):
    whole = datetime.datetime.strptime(text[:19] + "+0000", "%Y-%m-%dT%H:%M:%S%z").timestamp()
    fraction = re.search(r"\.\d+", text)
    return whole + (float(fraction.group()) if fraction else 0)


def span_seconds(text):
    return sum(int(count) * SPANS[unit] for count, unit in re.findall(r"(\d+)([ydhms])", text))


def duration_seconds(text):
    return sum(float(count) * UNITS[unit] for count, unit in re.findall(r"([\d.]+)(ns|µs|ms|s|m|h)", text))


def flattened(document, path=()):
    for key, value in document.items():
        name = re.sub("_+", "_", "_".join(path + (key,)).replace("/", "_")).strip("_")
        if name in LEFT_OUT:
            continue
        if isinstance(value, dict):
            yield from flattened(value, path + (key,))
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield name, value
        elif isinstance(value, str) and key in LABELS:
            if re.match(r"\d{4}-\d\d-\d\dT", value):
                yield name, int(moment_seconds(value) * 1000)
            else:
                yield '%s{value="%s"}' % (name, value), 1


def of_connz(connz):
    for key in ("num_connections", "total", "offset", "limit"):
        yield key, connz[key]
    for key in ("pending_bytes", "subscriptions", "in_bytes", "out_bytes", "in_msgs", "out_msgs"):
        yield key, sum(connection[key] for connection in connz["connections"])


def of_healthz(healthz):
    yield "status", 0 if healthz["status"] == "ok" else 1
    yield 'status_value{value="%s"}' % healthz["status"], healthz["status"] == "ok"


def of_accstatz(accstatz):
    names = (("current_connections", "conns"), ("total_connections", "total_conns"), ("subscriptions", "num_subscriptions"),
             ("leaf_nodes", "leafnodes"), ("slow_consumers", "slow_consumers"))
    for one in accstatz["account_statz"]:
        labels = '{account="%s",account_id="%s",account_name="%s"}' % (one["acc"], one["acc"], one["name"])
        for name, key in names:
            yield name + labels, one[key]
        for way in ("sent", "received"):
            yield way + "_messages" + labels, one[way]["msgs"]
            yield way + "_bytes" + labels, one[way]["bytes"]


def of_account(detail):
    labels = '{account_id="%s",account_name="%s"}' % (detail["account_name"], detail["name_tag"])
    for key in ("client_connections", "leafnode_connections", "subscriptions", "is_system", "expired", "complete", "jetstream_enabled"):
        yield key + labels, detail.get(key, 0)
    for key in ("subs", "data", "payload", "imports", "exports", "wildcards", "conn", "leaf"):
        yield "limit_" + key + labels, 0  # only a JWT has them


def of_gatewayz(gatewayz):
    entries = [("outbound", name, entry) for name, entry in (gatewayz["outbound_gateways"] or {}).items()] + \
        [("inbound", name, entry) for name, them in gatewayz["inbound_gateways"].items() for entry in them]
    for way, name, entry in entries:
        connection = entry["connection"]
        labels = '{gateway_name="%s",cid="%d",remote_gateway_name="%s"}' % (gatewayz.get("name", ""), connection["cid"], name)
        values = {"configured": entry["configured"], "conn_start_time_seconds": int(moment_seconds(connection["start"])),
                  "conn_last_activity_seconds": int(moment_seconds(connection["last_activity"])),
                  "conn_uptime_seconds": span_seconds(connection["uptime"]), "conn_idle_seconds": span_seconds(connection["idle"]),
                  "conn_rtt": duration_seconds(connection.get("rtt", ""))}
        values.update(("conn_" + key, connection[key]) for key in ("pending_bytes", "in_msgs", "out_msgs", "in_bytes", "out_bytes",
                                                                   "subscriptions"))
        for key, value in values.items():
            yield "%s_gateway_%s%s" % (way, key, labels), value


def of_routes(routez):
    for route in routez["routes"]:
        rid = 'rid="%d"' % route["rid"]
        yield 'route_info{%s,%s}' % (rid, ",".join('%s="%s"' % (key, route.get(key, "")) for key in (
            "remote_id", "remote_name", "account", "ip", "compression"))), 1
        values = {"subscriptions": route["subscriptions"], "uptime_seconds": span_seconds(route["uptime"]),
                  "rtt_seconds": duration_seconds(route["rtt"]),
                  **{key: route[key] for key in ("in_msgs", "out_msgs", "in_bytes", "out_bytes")}}
        for key, value in values.items():
            yield "route_%s{%s}" % (key, rid), value


def of_jsz(jsz, server_name):
    """Of a server without JetStream: the exporter takes one without a group for its leader."""
    labels = '{server_name="%s",cluster="",domain="",meta_leader="",is_meta_leader="true"}' % server_name
    config = jsz["config"]
    for name, value in (("jetstream_disabled", jsz["disabled"]), ("total_streams", jsz["streams"]), ("total_consumers", jsz["consumers"]),
                        ("total_messages", jsz["messages"]), ("total_message_bytes", jsz["bytes"]),
                        ("max_memory", config["max_memory"]), ("max_storage", config["max_storage"])):
        yield "jetstream_server_" + name + labels, value


def derived(server):
    """All of it, but how often documents were asked for: by name and labels without the server's id."""
    accounts = server.json("/accountz")["accounts"]
    parts = [("varz", flattened(server.json("/varz"))), ("subsz", flattened(server.json("/subsz"))),
             ("routez", [*flattened(server.json("/routez")), *of_routes(server.json("/routez"))]), ("connz", of_connz(server.json("/connz"))),
             ("leafz", [("conn_nodes_total", server.json("/leafz")["leafnodes"])]),
             ("accstatz", of_accstatz(server.json("/accstatz?unused=1"))), ("gatewayz", of_gatewayz(server.json("/gatewayz")))]
    parts += [("accountz", of_account(server.json("/accountz?acc=" + name)["account_detail"])) for name in accounts]
    parts += [("healthz" + kind, of_healthz(server.json("/healthz" + parameter))) for kind, parameter in (
        ("", ""), ("_js_enabled_only", "?js-enabled-only=true"), ("_js_server_only", "?js-server-only=true"))]
    found = {"gnatsd_%s_%s" % (endpoint, name): value for endpoint, part in parts for name, value in part
             if "http_req_stats" not in name}
    return {**found, **dict(of_jsz(server.json("/jsz"), server.json("/varz")["server_name"]))}


def shown(server):
    """The value of each line of /metrics, by name with its labels but the server's id."""
    lines = server.get("/metrics")[2].decode().splitlines()
    samples = [re.sub(r',?server_id="[^"]*"', "", line).replace("{,", "{").replace("{}", "").rsplit(" ", 1)
               for line in lines if line[0] != "#"]
    return {name: float(value) for name, value in samples}


def compared(server):
    expected, found = derived(server), shown(server)
    of_the_exporter = {name for name in found if name.startswith(("gnatsd_", "jetstream_")) and "http_req_stats" not in name}
    volatile = re.compile("_varz_(mem|cpu)$|(conn|route)_(uptime|idle|last_activity|rtt)_seconds|conn_rtt")
    wrong = ["/metrics: %s is missing" % name for name in expected if name not in found]
    wrong += ["/metrics: %s is not of the exporter" % name for name in sorted(of_the_exporter - set(expected))]
    return wrong + ["/metrics: %s is %s, not %s" % (name, found[name], value) for name, value in expected.items()
                    if name in found and not volatile.search(name) and abs(found[name] - value) > 1e-9 * abs(value)]


def differences(server):
    """Names that only one of them has, and values that differ; what changes by itself may have any value. Something may
    be counted between two documents, such as an event of the server's own, but not each time."""
    for _ in range(5):
        wrong = compared(server)
        if not wrong:
            break
    return wrong

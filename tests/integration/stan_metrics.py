"""NATS Streaming in /metrics, by the names that the NATS exporter gives it, against what serverz says."""
import re

SAME = (("nss_server_msgs_total", "total_msgs"), ("nss_server_bytes_total", "total_bytes"),
        ("nss_server_channels", "channels"), ("nss_server_subscriptions", "subscriptions"),
        ("nss_server_clients", "clients"), ("myelin_streaming_in_messages_total", "in_msgs"),
        ("myelin_streaming_out_bytes_total", "out_bytes"))


def wrong(text, serverz, client_id):
    """What does not fit; `foo` holds three messages, of which the client's one subscription to it owes two."""
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#"]
    figures = {re.sub(r'server="[^"]*",?', "", name): float(value) for name, value in lines}
    wanted = {name + "{}": float(serverz[key]) for name, key in SAME}
    wanted |= {f'nss_chan_{name}{{channel="foo"}}': 3.0 for name in ("msgs_total", "last_seq")}
    found = [(name, figures.get(name), value) for name, value in wanted.items() if figures.get(name) != value]
    one = f'nss_chan_subs_pending_count{{channel="foo",client_id="{client_id}"'
    pending = [value for name, value in figures.items() if name.startswith(one)]
    if pending != [2.0]:
        found.append((one, pending, [2.0]))
    info = [name for name in figures if name.startswith("nss_server_info{")]
    if len(info) != 1 or 'cluster_id="test-cluster"' not in info[0]:
        found.append(("nss_server_info", info, "one"))
    return found


def subscriptions(text):
    """All subscriptions, the service's own too: as /varz and /subsz tell them."""
    return [float(value) for name in ("varz_subscriptions", "subsz_num_subscriptions")
            for value in re.findall(r"^gnatsd_%s{.*} (.*)$" % name, text, re.M)]

"""tests/integration/option_names.py - every name that nats-server's newest version knows in its configuration file, place by
place, with a value that it takes, and where docs/ says what became of it here. What is inside blocks that Myelin refuses as a
whole (leaf nodes, WebSocket, MQTT, JetStream, resolvers) is not listed: nobody gets that far. nats-streaming-server's names
follow at the end. test_option_names.py holds servers and docs against it; facts, not expectations: what Myelin does with a
name is found by asking it.
"""
import os
import sys
import tempfile
from typing import NamedTuple

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tls"))
from authority import Authority  # noqa: E402

FOLDER = tempfile.TemporaryDirectory()
AUTHORITY = Authority(FOLDER.name)
CERTIFICATE, KEY = AUTHORITY.issue("options")
PAIR = f'cert_file: "{CERTIFICATE}"\nkey_file: "{KEY}"'
USER_KEY = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
CIPHER = "[TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]"
MAIN, TLS, STREAMING = "configuration.md", "tls.md", "streaming.md"


class Name(NamedTuple):
    names: str             # the first, then aliases
    value: str
    beside: str = None     # lines that have to stand beside it in place of the place's; "": none
    ours: bool = False     # nats-server does not know it


class Place(NamedTuple):
    what: str
    block: str             # %s: where the lines stand
    said: list             # (page, how the paragraph or table begins that tells of these names)
    rows: list
    beside: str = ""
    streaming: bool = False  # nats-server itself does not know it


def names(*lines, **more):
    """Rows of "names = value"."""
    return [Name(*[part.strip() for part in line.split("=", 1)], **more) for line in lines]


ADDRESS, ALONE = '"127.0.0.1:-1"', {"beside": ""}
TLS_ROWS = [
    Name("cert_file", f'"{CERTIFICATE}"', f'key_file: "{KEY}"'), Name("key_file", f'"{KEY}"', f'cert_file: "{CERTIFICATE}"'),
    Name("certs certificates", "[ { %s } ]" % PAIR, ""),
] + names(
    f'ca_file = "{AUTHORITY.file}"', "verify = optional", "verify = true", "verify_and_map = true", "insecure = true", "timeout = 3",
    'timeout = "3s"', 'min_version = "1.3"', "cipher_suites = " + CIPHER, "curve_preferences = [CurveP256]",
    "allow_insecure_cipher_suites = true", "pinned_certs = [ %s ]" % ("a" * 64), "connection_rate_limit = 5",
    "handshake_first first immediate = auto", "ocsp_peer = true", "cert_match_skip_invalid = true")
WINDOWS_ROWS = names('cert_store = "WindowsCurrentUser"', 'cert_match_by = "Subject"', 'cert_match = "x"', 'ca_certs_match = "x"')
KNOWN_URLS = names("verify_cert_and_check_known_urls = true")
LISTEN = names(f"listen = {ADDRESS}", "host net = 127.0.0.1", "port = 5")
SIMPLE_LOGIN = [Name("user username", "u", "password: p"), Name("password pass", "p", "user: u"), Name("timeout", "3")]
WAITING = names('write_deadline = "3s"', "write_timeout = retry")

NATS = [
    Place("the top", "%s\n", [(MAIN, "| Option (aliases)"), (MAIN, "`authorization` takes"), (MAIN, "More names")], LISTEN + WAITING + names(
        "client_advertise = a:5", "server_name = x", "server_tags = [a, b]", "server_metadata = { a: b }", "pid_file pidfile = x",
        "ports_file_dir = x", "max_connections max_conn = 5", "max_control_line = 5000", "max_payload = 5000", "max_pending = 5000000",
        "max_subscriptions max_subs = 5", "max_sub_tokens max_subscription_tokens = 5", "max_traced_msg_len = 5",
        "max_closed_clients = 5", 'ping_interval = "3s"', "ping_max = 5", 'lame_duck_duration = "40s"',
        'lame_duck_grace_period = "3s"', "no_fast_producer_stall = true", "connect_error_reports = 5", "reconnect_error_reports = 5",
        "no_header_support = true", "disable_sublist_cache no_sublist_cache = true", "debug = true", "trace = true",
        "trace_verbose = true", "trace_headers = true", "logtime = false", "logtime_utc = true", "log_file logfile = x",
        "log_size_limit logfile_size_limit = 5", "log_max_num logfile_max_num = 5", "syslog = true", "remote_syslog = udp://x:5",
        f"http = {ADDRESS}", f"https = {ADDRESS}", "http_port monitor_port = 5", "https_port = 5", "http_base_path = x",
        "authorization = { user: u, password: p }", "accounts = { A {} }", "accounts = [A]",
        "no_system_account no_system no_sys_acc = true", "mappings maps = { a: b }", "tls = { %s }" % PAIR, "allow_non_tls = true",
        "ocsp = true", "ocsp_cache = true", "no_auth_user = u", "feature_flags = { js_ack_fc_v2: true }", "proxy_protocol = true",
        "proxies = { trusted: [ { key: %s } ] }" % USER_KEY, "prof_port = 5", "prof_block_rate = 5", "resolver_preload = {}",
        "resolver account_resolver accounts_resolver = MEMORY", "resolver_tls = { %s }" % PAIR, "resolver_pinned_accounts = [A]",
        "trusted_keys trusted = OAA5PFUG3OQGVZHTS5PZKIXAMPBS5RF2XLYXOTQPTGAJHO3BPJDNVK4R",
        "default_js_domain = { A: a }", "jetstream = enabled", "store_dir storedir = x", f"cluster = {{ listen: {ADDRESS} }}",
        f"gateway = {{ name: G, listen: {ADDRESS} }}", f"leafnodes leaf = {{ listen: {ADDRESS} }}",
        f"websocket ws = {{ listen: {ADDRESS}, no_tls: true }}", f"mqtt = {{ listen: {ADDRESS} }}") + [
            Name("system_account system", "A", "accounts { A {} }"),
            Name("operator operators root roots root_operator root_operators", "x"), Name("default_sentinel", "x")] + names(
        "shards = 1", "busy_poll = 1ms", "receive_buffer_bytes = 65536", "receive_buffers = 64", "mailbox_bytes = 65536", "pin = false",
        "match_cache_entries = 64", "streaming = {}", ours=True)),
    Place("ocsp", "ocsp {\n%s\n}", [(MAIN, "| Option (aliases)")], names(
        "mode = auto", 'url = "http://127.0.0.1:1"')),  # urls: nats-server knows the name, and takes no value at all
    Place("proxies", "proxies {\n%s\n}", [(MAIN, "| Option (aliases)")], names("trusted = [ { key: %s } ]" % USER_KEY)),
    Place("a proxy", "proxies { trusted: [ {\n%s\n} ] }", [(MAIN, "| Option (aliases)")], names("key public_key = " + USER_KEY)),
    Place("authorization", "authorization {\n%s\n}", [(MAIN, "`authorization` takes"), (MAIN, "More names")], SIMPLE_LOGIN + names(
        "token = t", "users = [ { user: u, password: p } ]", "default_permissions default_permission permissions = { publish: a }",
        "auth_callout auth_hook = { issuer: AAV32LDP2FKNM7Y54OJORFSNM7I5JJBZUSEQNX2OQ225MLM6TWSW5ZMZ, auth_users: [u] }",
        "proxy_required = true")),
    Place("a user", "authorization { users: [ {\n%s\n} ] }", [(MAIN, "`authorization` takes"), (MAIN, "More names")], SIMPLE_LOGIN[:2] + [
        Name("nkey", USER_KEY, "")] + names(
        "permissions permission authorization = { publish: a }", "proxy_required = true",
        "allowed_connection_types connection_types clients = [STANDARD]"), "user: u\npassword: p"),
    Place("permissions", "authorization { users: [ { user: u, password: p, permissions {\n%s\n} } ] }",
          [(MAIN, "`permissions` take")], names("publish pub import = a", "subscribe sub export = [a, b]",
                                                "allow_responses publish_allow_responses = true")),
    Place("a kind of permissions", "authorization { users: [ { user: u, password: p, permissions { publish {\n%s\n} } } ] }",
          [(MAIN, "`permissions` take")], names("allow = a", "deny = [a, b]")),
    Place("allow_responses", "authorization { users: [ { user: u, password: p, permissions { allow_responses {\n%s\n} } } ] }",
          [(MAIN, "`permissions` take")], names("max max_msgs max_messages max_responses = 5", 'expires expiration ttl = "5s"')),
    Place("an account", "accounts { A {\n%s\n} }", [(MAIN, "An account takes"), (MAIN, "More names")], names(
        "nkey = AA2PFUJ7FC3FKAL5RY7PK2SXIA72XN57S67IHJ63KRT5W5EKQYDQP3F2", "users = [ { user: u, password: p } ]",
        "default_permissions = { publish: a }", "exports = [ { stream: a } ]", "imports = []", "mappings maps = { a: b }",
        "jetstream = enabled", "limits = { max_connections: 5 }", "msg_trace trace_dest = a")),
    Place("limits", "accounts { A { limits {\n%s\n} } }", [(MAIN, "An account takes"), (MAIN, "More names")], names(
        "max_connections max_conn = 5", "max_subscriptions max_subs = 5", "max_payload max_pay = 5", "max_leafnodes max_leafs = 5")),
    Place("an export", "accounts { A { exports: [ {\n%s\n} ] }, B {} }", [(MAIN, "An account takes"), (MAIN, "More names")], [
        Name("stream", "a", ""), Name("service", "a", "")] + names(
        "accounts = [B]", "account_token_position = 0", "response response_type = stream",
        "threshold response_threshold response_max_time response_time = 5s", "latency = x", "allow_trace = true"), "service: a"),
    Place("an import", "accounts { A { exports: [ { stream: a }, { service: b } ] }, B { imports: [ {\n%s\n} ] } }",
          [(MAIN, "An account takes"), (MAIN, "More names")], [
              Name("stream", "{ account: A, subject: a }", ""), Name("service", "{ account: A, subject: b }", ""),
              Name("to", "c"), Name("share", "true"), Name("prefix", "x", "stream: { account: A, subject: a }"),
              Name("allow_trace", "true", "stream: { account: A, subject: a }")], "service: { account: A, subject: b }"),
    Place("a destination", "mappings { a: [ {\n%s\n} ] }", [(MAIN, "An account takes"), (MAIN, "More names")], [
        Name("destination dest", "b", "weight: 5"), Name("weight", "5", "destination: b"), Name("cluster", "c")],
        "destination: b\nweight: 5"),
    Place("tls", "tls {\n%s\n}", [(TLS, "| Key (aliases)")], TLS_ROWS + WINDOWS_ROWS, PAIR),
    Place("cluster", f"cluster {{ name: C, listen: {ADDRESS}\n%s\n}}", [(MAIN, "| in `cluster`")], LISTEN + WAITING + names(
        "name = D", "routes = [ nats://127.0.0.1:5 ]", "authorization = { user: u, password: p }", "tls = { %s }" % PAIR,
        "permissions = { import: a, export: { deny: b } }", "advertise cluster_advertise = a:5", "no_advertise = true",
        "connect_retries = 5", "connect_backoff = true", 'ping_interval = "3s"', "ping_max = 5", "compression = s2_fast",
        "pool_size = 5", "accounts = [A]")),
    Place("authorization of cluster", f"cluster {{ name: C, listen: {ADDRESS}, authorization {{\n%s\n}} }}",
          [(MAIN, "| in `cluster`")], SIMPLE_LOGIN),
    Place("permissions of cluster", f"cluster {{ name: C, listen: {ADDRESS}, permissions {{\n%s\n}} }}",
          [(MAIN, "| in `cluster`")], names("import = a", "export = { deny: b }")),
    Place("compression", f"cluster {{ name: C, listen: {ADDRESS}, compression {{\n%s\n}} }}",
          [(MAIN, "| in `cluster`"), (MAIN, "More names")], [Name("mode", "s2_auto"), Name("rtt_thresholds thresholds rtts rtt", "[5ms, 10ms]", "mode: s2_auto")]),
    Place("tls of cluster", f"cluster {{ name: C, listen: {ADDRESS}, tls {{\n%s\n}} }}", [(TLS, "| Key (aliases)")],
          TLS_ROWS + KNOWN_URLS, PAIR),
    Place("gateway", f"gateway {{ name: G, listen: {ADDRESS}\n%s\n}}", [(MAIN, "| in `gateway`")], LISTEN + WAITING + names(
        "name = H", "authorization = { user: u, password: p }", "tls = { %s }" % PAIR, "advertise = a:5", "connect_retries = 5",
        "connect_backoff = true", "gateways = [ { name: H, url: nats://127.0.0.1:5 } ]", 'ping_interval = "3s"', "ping_max = 5",
        "reject_unknown reject_unknown_cluster = true")),
    Place("authorization of gateway", f"gateway {{ name: G, listen: {ADDRESS}, authorization {{\n%s\n}} }}",
          [(MAIN, "| in `gateway`")], SIMPLE_LOGIN),
    Place("a remote gateway", f"gateway {{ name: G, listen: {ADDRESS}, gateways: [ {{\n%s\n}} ] }}", [(MAIN, "| in `gateway`")], names(
        "name = H", "url = nats://127.0.0.1:5", "urls = [ nats://127.0.0.1:5 ]", "tls = { %s }" % PAIR)),
    Place("tls of gateway", f"gateway {{ name: G, listen: {ADDRESS}, tls {{\n%s\n}} }}", [(TLS, "| Key (aliases)")],
          TLS_ROWS + KNOWN_URLS, PAIR),
    Place("tls of a remote gateway", f"gateway {{ name: G, listen: {ADDRESS}, gateways: [ {{ name: H, tls {{\n%s\n}} }} ] }}",
          [(TLS, "| Key (aliases)")], TLS_ROWS, PAIR),
]

# nats-streaming-server drops what it does not know without a word, so it cannot be asked: the names are those of its reader.
STREAMING_TABLE = [(STREAMING, "| in `streaming {}`"), (STREAMING, "Accepted without effect"), (STREAMING, "Names that")]
LIMITS = names("max_subs msu max_subscriptions maxsubscriptions = 5", "max_msgs mm maxmsgs max_count maxcount = 5",
               "max_bytes mb maxbytes = 5", "max_age ma maxage = 5s", "max_inactivity mi maxinactivity = 5s")
STAN = [
    Place("streaming", "streaming {\n%s\n}", STREAMING_TABLE, names(
        "cluster_id cid id = x", "discover_prefix = x", "store st store_type storetype = MEMORY", "dir datastore = x",
        "stan_debug sd = true", "stan_trace sv = true", "nats_server_url ns nats_server = nats://127.0.0.1:5",
        "hb_interval hbi server_to_client_hb_interval = 5s", "hb_timeout hbt server_to_client_hb_timeout = 5s",
        "hb_fail_count hbf server_to_client_hb_fail_count = 5", "ft_group ft_group_name = x", "partitioning = true",
        "replace_durable replace_durables replace_duplicate_durable replace_duplicate_durables = true", "credentials = x",
        "username user = x", "password pass = x", "token = x", "nkey_seed_file = x", "secure = true", "tls = {}",
        "store_limits limits storelimits = {}", "file file_options = {}", "sql sql_options = {}", "cluster = {}", "syslog_name = x",
        "encrypt = true", "encryption_cipher = x", "encryption_key = x"), streaming=True),
    Place("tls of streaming", "streaming { tls {\n%s\n} }", STREAMING_TABLE, names(
        "client_cert = x", "client_key = x", "client_ca client_cacert = x", "server_name server_hostname = x",
        "skip_verify insecure = true"), streaming=True),
    Place("store_limits", "streaming { store_limits {\n%s\n} }", STREAMING_TABLE, LIMITS + names(
        "max_channels mc maxchannels = 5", "channels channels_limits channelslimits per_channel per_channel_limits = {}"), streaming=True),
    Place("limits of a channel", "streaming { store_limits { channels { c {\n%s\n} } } }", STREAMING_TABLE, LIMITS, streaming=True),
    Place("file", "streaming { file {\n%s\n} }", STREAMING_TABLE, names(
        "compact compact_enabled = true", "compact_fragmentation compact_frag = 5", "compact_interval = 5", "compact_min_size = 5",
        "buffer_size = 5", "crc do_crc = true", "crc_poly = 5", "sync_on_flush sync do_sync = true",
        "slice_max_msgs slice_max_count slice_msgs slice_count = 5", "slice_max_bytes slice_max_size slice_bytes slice_size = 5000000",
        "slice_max_age slice_age slice_max_time slice_time_limit = 5s", "slice_archive_script slice_archive slice_script = x",
        "file_descriptors_limit fds_limit = 5", "parallel_recovery = 5", "read_buffer_size file_read_buffer_size = 5000000",
        "auto_sync file_auto_sync = 5s"), streaming=True),
    Place("cluster of streaming", "streaming { cluster {\n%s\n} }", STREAMING_TABLE, names(
        "node_id = x", "bootstrap = true", "peers = [a, b]", "log_path = x", "log_cache_size = 5", "log_snapshots = 5",
        "trailing_logs = 5", "sync = true", "proceed_on_restore_failure = true", "allow_add_remove_node = true",
        "raft_logging = true", "raft_heartbeat_timeout = 5s", "raft_election_timeout = 5s", "raft_lease_timeout = 5s",
        "raft_commit_timeout = 5s", "bolt_free_list_sync = true", "bolt_free_list_map = true", "nodes_connections = true") + names(
            "snapshot_entries = 5", "groups = 5", ours=True), streaming=True),
]

"""tests/tls/responder.py - an OCSP responder (RFC 6960) on a port of its own, whose answers a case chooses: by the openssl
command, or built here byte by byte where that cannot say what is wanted (seconds, other signers, the past)."""
import base64
import hashlib
import http.server
import os
import subprocess
import threading
import time
import urllib.parse

from authority import openssl
from server import PATIENCE


def der(tag, *parts):
    body = b"".join(parts)
    count = len(body)
    size = bytes([count]) if count < 128 else bytes([0x80 | (count.bit_length() + 7) // 8]) + \
        count.to_bytes((count.bit_length() + 7) // 8, "big")
    return bytes([tag]) + size + body


def element(data):
    """(tag, content, whole, rest) of the first element."""
    count, at = data[1], 2
    if count & 0x80:
        at += count & 0x7f
        count = int.from_bytes(data[2:at], "big")
    return data[0], data[at:at + count], data[:at + count], data[at + count:]


def moment(seconds):
    return der(0x18, time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds)).encode())


def question(request):
    """The CertID that is asked for, whole, and its serial number."""
    rest = element(element(request)[1])[1]
    while element(rest)[0] != 0x30:  # version and requestor
        rest = element(rest)[3]
    whole = element(element(element(rest)[1])[1])[2]
    inner = element(whole)[1]
    while inner:
        _, content, _, inner = element(inner)
    return whole, int.from_bytes(content, "big")


class Responder:
    """Answers for the certificates that `authority` has issued: `status` by name, "good" for others."""

    def __init__(self, authority):
        self.authority, self.folder = authority, authority.folder
        self.status, self.lasts, self.since = {}, 3600, -5
        self.signer, self.with_certificate = authority.name, None
        self.broken = None  # bytes to say instead; "hang": nothing
        self.by_openssl = self.refuses_post = False
        self.asked, self.asked_now = [], threading.Condition()
        self.slow = set()  # names that it answers for when it is released
        self.release = threading.Event()  # ends what hangs
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *arguments):  # pylint: disable=arguments-differ
                pass

            def do_POST(self):
                owner.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def do_GET(self):
                owner.answer(self, base64.b64decode(urllib.parse.unquote(self.path.split("/", 1)[1])))

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

    def expect(self, count):
        """Waits until it has been asked so often."""
        with self.asked_now:
            assert self.asked_now.wait_for(lambda: len(self.asked) >= count, PATIENCE), self.asked

    def name_of(self, serial):
        for name, known in self.authority.serials.items():
            if known == serial:
                return name
        return None

    def answer(self, http_side, request):
        certificate, serial = question(request)
        name = self.name_of(serial)
        with self.asked_now:
            self.asked.append((http_side.command, name))
            self.asked_now.notify_all()
        if self.broken == "hang":
            self.release.wait(PATIENCE)
            return
        if name in self.slow:
            self.release.wait(PATIENCE)
        if self.refuses_post and http_side.command == "POST":
            http_side.send_error(405)
            return
        if self.broken is not None:
            response = self.broken
        elif self.by_openssl:
            response = self.from_openssl(request)
        else:
            response = self.built(certificate, self.status.get(name, "good"))
        http_side.send_response(200)
        http_side.send_header("Content-Type", "application/ocsp-response")
        http_side.send_header("Content-Length", str(len(response)))
        http_side.end_headers()
        try:
            http_side.wfile.write(response)
        except OSError:
            pass  # who asked has given up

    def from_openssl(self, request):
        index, name = os.path.join(self.folder, self.authority.name + ".index"), self.authority.name
        with open(index, "w", encoding="ascii") as file:
            for known, serial in self.authority.serials.items():
                status = self.status.get(known, "good")
                if status != "unknown":
                    digits = f"{serial:X}"
                    digits = digits if len(digits) % 2 == 0 else "0" + digits
                    file.write(f"{'R' if status == 'revoked' else 'V'}\t400101000000Z\t"
                               f"{'200101000000Z' if status == 'revoked' else ''}\t{digits}\tunknown\t/CN={known}\n")
        with open(index + ".req", "wb") as file:
            file.write(request)
        openssl(self.folder, "ocsp", "-index", index, "-CA", name + ".pem", "-rsigner", name + ".pem", "-rkey",
                name + ".key", "-reqin", index + ".req", "-respout", index + ".resp", "-nmin", "60")
        with open(index + ".resp", "rb") as file:
            return file.read()

    def built(self, certificate, status):
        now = time.time() + self.since
        public = openssl(self.folder, "x509", "-in", self.signer + ".pem", "-noout", "-pubkey")
        point = base64.b64decode("".join(public.split("\n")[1:-2]))[-65:]  # P-256, uncompressed
        told = {"good": b"\x80\x00", "unknown": b"\x82\x00", "revoked": der(0xa1, moment(now - 60))}[status]
        until = () if self.lasts is None else (der(0xa0, moment(now + self.lasts)),)
        data = der(0x30, der(0xa2, der(0x04, hashlib.sha1(point).digest())), moment(now),
                   der(0x30, der(0x30, certificate, told, moment(now), *until)))
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.signer + ".key"], input=data,
                                   cwd=self.folder, capture_output=True, check=True).stdout
        certificates = b""
        if self.with_certificate:
            with open(os.path.join(self.folder, self.with_certificate + ".pem"), encoding="ascii") as file:
                pem = file.read().split("-----")[2]
            certificates = der(0xa0, der(0x30, base64.b64decode(pem)))
        ecdsa = der(0x30, bytes.fromhex("06082a8648ce3d040302"))
        basic = der(0x30, data, ecdsa, der(0x03, b"\x00", signature), certificates)
        return der(0x30, b"\x0a\x01\x00",
                   der(0xa0, der(0x30, bytes.fromhex("06092b0601050507300101"), der(0x04, basic))))

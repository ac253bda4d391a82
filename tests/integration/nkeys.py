"""tests/integration/nkeys.py - NKeys, tokens and sealed messages for tests, by libsodium, which is installed because the
server needs it: Ed25519 is not the server's own (that is OpenSSL's), and no package of Python's is needed.
"""
import base64
import ctypes
import ctypes.util
import hashlib
import json
import os
import time

PREFIXES = {"A": 0x00, "N": 0x68, "O": 0x70, "U": 0xA0, "X": 0xB8}
sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
sodium.sodium_init()


def text_of(kind, raw):
    """The text of a public key."""
    data = bytes([PREFIXES[kind]]) + raw
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return base64.b32encode(data + crc.to_bytes(2, "little")).rstrip(b"=").decode()


def raw_of(text):
    """The raw bytes of a public key's text."""
    return base64.b32decode(text + "=" * (-len(text) % 8))[1:33]


class Key:
    """One key: A, N, O, U for signing, X for sealing."""

    def __init__(self, kind):
        self.seed = os.urandom(32)
        raw = ctypes.create_string_buffer(32)
        if kind == "X":
            sodium.crypto_scalarmult_base(raw, self.seed)
        else:
            self.secret = ctypes.create_string_buffer(64)
            sodium.crypto_sign_seed_keypair(raw, self.secret, self.seed)
        self.public = text_of(kind, raw.raw)

    def sign(self, message):
        signature = ctypes.create_string_buffer(64)
        sodium.crypto_sign_detached(signature, None, message, ctypes.c_ulonglong(len(message)), self.secret)
        return signature.raw

    def seal(self, message, peer):
        nonce, box = os.urandom(24), ctypes.create_string_buffer(16 + len(message))
        sodium.crypto_box_easy(box, message, ctypes.c_ulonglong(len(message)), nonce, raw_of(peer), self.seed)
        return b"xkv1" + nonce + box.raw

    def open(self, sealed, peer):
        """None: it is not sealed for this key by that peer."""
        box, message = sealed[28:], ctypes.create_string_buffer(max(len(sealed) - 44, 1))
        if sealed[:4] != b"xkv1" or len(box) < 16 or sodium.crypto_box_open_easy(
                message, box, ctypes.c_ulonglong(len(box)), sealed[4:28], raw_of(peer), self.seed):
            return None
        return message.raw[:len(box) - 16]


def letters(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def bytes_of(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def token(key, body, **claims):
    """A token of these claims; `body` is what stands behind "nats"."""
    claims = {"iat": int(time.time()), "iss": key.public, **claims}
    claims["jti"] = base64.b32encode(hashlib.sha256(json.dumps(claims).encode()).digest()).rstrip(b"=").decode()
    first = letters(b'{"typ":"JWT","alg":"ed25519-nkey"}') + "." + letters(json.dumps({**claims, "nats": body}).encode())
    return first + "." + letters(key.sign(first.encode()))


def claims_of(text):
    """What a token says; ValueError: its issuer has not signed it."""
    first, signature = text.rsplit(".", 1)
    claims = json.loads(bytes_of(first.split(".")[1]))
    if sodium.crypto_sign_verify_detached(bytes_of(signature), first.encode(), ctypes.c_ulonglong(len(first)),
                                          raw_of(claims["iss"])):
        raise ValueError("a token whose signature is wrong")
    return claims

"""tests/tls/authority.py - certificates for the suites of TLS, made by the openssl command in a temporary folder each
time, so that nothing in the tree can expire."""
import os
import subprocess


def openssl(folder, *arguments):
    done = subprocess.run(("openssl",) + arguments, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


class Authority:
    """A root that signs; files are <folder>/<name>.pem and .key."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name, self.file = folder, name, os.path.join(folder, name + ".pem")
        self.serials = {}  # of what it has issued, by name
        openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                name + ".key", "-out", name + ".pem", "-days", "2", "-subj", "/CN=" + name)

    def issue(self, name, subject=None, names=None, rsa=False, days=2, stapled=False, responder=None,
              more=""):
        """A certificate with these subject alternative names, the wish to be stapled, the URL of a responder; (certificate
        file, key file)."""
        key = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        openssl(self.folder, "req", "-newkey", *key, "-nodes", "-keyout", name + ".key", "-out", name + ".csr", "-subj",
                subject or "/CN=" + name)
        extensions = os.path.join(self.folder, name + ".ext")
        with open(extensions, "w", encoding="ascii") as file:
            file.write("basicConstraints=CA:FALSE\n" + (f"subjectAltName={names}\n" if names else "") +
                       ("tlsfeature=status_request\n" if stapled else "") +
                       (f"authorityInfoAccess=OCSP;URI:{responder}\n" if responder else "") + more)
        openssl(self.folder, "x509", "-req", "-in", name + ".csr", "-CA", self.name + ".pem", "-CAkey",
                self.name + ".key", "-CAcreateserial", "-days", str(days), "-out", name + ".pem", "-extfile", extensions)
        serial = openssl(self.folder, "x509", "-in", name + ".pem", "-noout", "-serial")
        self.serials[name] = int(serial.strip().split("=")[1], 16)
        return os.path.join(self.folder, name + ".pem"), os.path.join(self.folder, name + ".key")

    def pin(self, name):
        """SHA-256 of the certificate's SubjectPublicKeyInfo, in hex."""
        public = openssl(self.folder, "x509", "-in", name + ".pem", "-noout", "-pubkey")
        pem = os.path.join(self.folder, name + ".pub")
        with open(pem, "w", encoding="ascii") as file:
            file.write(public)
        openssl(self.folder, "pkey", "-pubin", "-in", pem, "-outform", "DER", "-out", pem + ".der")
        return openssl(self.folder, "dgst", "-sha256", "-r", pem + ".der").split()[0]

"""Signs as Forge does, by PyJWT, and serves the public key as a JWKS.

Writes its address; then for each order, one JSON object a line, the token: {claims, kid?, alg?, signer?}. `alg` is RS256,
none, or HS256 with the public key as the secret.
"""

import base64
import hashlib
import hmac
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KNOWN, STRANGER = (rsa.generate_private_key(65537, 2048) for _ in range(2))


def jwks():
    key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KNOWN.public_key()))
    return json.dumps({"keys": [key | {"kid": "forge-1", "use": "sig", "alg": "RS256"}]}).encode()


class Keys(BaseHTTPRequestHandler):
    def do_GET(self):
        body = jwks()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def encoded(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def token(order):
    headers = {"kid": order.get("kid", "forge-1"), "typ": "JWT"}
    alg = order.get("alg", "RS256")
    if alg == "none":
        return jwt.encode(order["claims"], None, algorithm="none", headers=headers)
    if alg == "HS256":
        # The library refuses to take a public key for a secret.
        secret = KNOWN.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        text = ".".join(encoded(json.dumps(part).encode()) for part in (headers | {"alg": alg}, order["claims"]))
        return f"{text}.{encoded(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"
    key = STRANGER if order.get("signer") == "stranger" else KNOWN
    return jwt.encode(order["claims"], key, algorithm="RS256", headers=headers)


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}/jwks.json"}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order.get("close"):
            server.shutdown()
            server.server_close()
            print(json.dumps({"closed": True}), flush=True)
        else:
            print(json.dumps({"token": token(order)}), flush=True)


main()

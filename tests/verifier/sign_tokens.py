"""Web tokens by PyJWT: a right one, and one for each way to be wrong, with the keys of their issuer.

Arguments: `keys` or `tokens`, and a directory. `keys` makes the keys there, and their JWKS in keys.json. `tokens` signs with
them. Its input: a JSON object with `claims` of the right token (without `exp`), and `good_for`, in how many seconds it
expires. Its output: a JSON object, tokens by name.
"""

import base64
import hashlib
import hmac
import json
import sys
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm


def public_pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def hs256(claims, secret):
    """By hand: PyJWT does not take a public key for a secret."""

    def encoded(part):
        return base64.urlsafe_b64encode(part).rstrip(b"=")

    header = {"alg": "HS256", "typ": "JWT", "kid": "rsa"}
    message = b".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    return (message + b"." + encoded(hmac.digest(secret, message, hashlib.sha256))).decode()


def make_keys(directory):
    keys = {"rsa": rsa.generate_private_key(65537, 2048), "curve": ec.generate_private_key(ec.SECP256R1())}
    for name, key in keys.items():
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (directory / f"{name}.pem").write_bytes(pem)
    rsa_jwk = RSAAlgorithm.to_jwk(keys["rsa"].public_key(), as_dict=True)
    curve_jwk = ECAlgorithm.to_jwk(keys["curve"].public_key(), as_dict=True)
    jwks = [{**rsa_jwk, "kid": "rsa", "use": "sig", "alg": "RS256"}, {**curve_jwk, "kid": "curve", "use": "sig"}]
    (directory / "keys.json").write_text(json.dumps({"keys": jwks}))


def sign_tokens(directory):
    asked = json.load(sys.stdin)
    now = int(time.time())
    right = {**asked["claims"], "iat": now, "exp": now + asked["good_for"]}
    key, curve = (
        serialization.load_pem_private_key((directory / f"{name}.pem").read_bytes(), None) for name in ("rsa", "curve")
    )
    stranger = rsa.generate_private_key(65537, 2048)

    def signed(claims, by=key, algorithm="RS256", **headers):
        return jwt.encode(claims, by, algorithm=algorithm, headers={"kid": "rsa", **headers})

    return {
        "right": signed(right),
        "right on a curve": signed(right, by=curve, algorithm="ES256", kid="curve"),
        "audit": signed({**right, "scope": "read audit"}),
        "another app": signed({**right, "apps": ["com.other.app"]}),
        "unknown": signed(right, by=stranger),
        "unknown key": signed(right, kid="other"),
        "expired": signed({**right, "exp": now - 60}),
        "wrong audience": signed({**right, "aud": "other"}),
        "wrong issuer": signed({**right, "iss": "https://evil.example.com"}),
        "alg none": jwt.encode(right, None, algorithm="none"),
        "HS256 with the public key": hs256(right, public_pem(key)),
        "unknown crit": signed(right, crit=["exotic"], exotic=1),
    }


def main():
    what, directory = sys.argv[1], Path(sys.argv[2])
    if what == "keys":
        make_keys(directory)
    else:
        print(json.dumps(sign_tokens(directory)))


main()

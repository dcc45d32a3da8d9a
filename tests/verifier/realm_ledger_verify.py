"""Verifies a realm ledger bundle, from proto/AUDIT.md alone: realm_ledger_verify.py BUNDLE --key VKEY [--pinned NOTE]

Exit code 0: valid, 3: invalid (names the first fact that fails), 1: cannot be judged. It does not know the realm rules:
whether the decisions in the lines follow from the records (step 8) is left to the ledger's own verifier."""
import argparse, base64, hashlib, hmac, json, re, struct, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
P, ZERO, Y8 = 2**255 - 19, bytes(32), 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826
LOW_ORDER_Y = {0, 1, P - 1, Y8, P - Y8}
RECORD = dict(v=int, k=str, n=int, p=str, y=str, a=str, t=int, q=int, o=str, r=str, u=str, d=str)
SEAL = dict(v=int, y=str, c=int, m=str, keys=int, next=str, dup=int, rej=int, t=int)
HEADER, WAY = dict(type=str, v=int, clientKey=str, origin=str), dict(n=int, siblings=list, other=dict)
LINES = {"checkpoint": dict(type=str, note=str), "seal": dict(type=str, index=int, entry=str, proof=list),
         "head": dict(type=str, **WAY), "app": dict(type=str, appKey=str, **WAY), "consistency": {"type": str, "from": int, "proof": list},
         "record": dict(type=str, index=int, entry=str, salt=str, payload=str, proof=list)}
class Invalid(Exception): pass
class Undecided(Exception): pass
def need(fact, message):
    if not fact: raise Invalid(message)
def sha(*parts): return hashlib.sha256(b"".join(parts)).digest()
def bit(key, at): return key[at // 8] >> 7 - at % 8 & 1
def is_key(text): return 0 < len(text.encode()) < 256 and all(c >= " " and not "\x7f" <= c <= "\x9f" for c in text)
def unbase64(text, alphabet=b"+/", pad=""):
    try: raw = base64.b64decode(text + pad, altchars=alphabet, validate=True)
    except (ValueError, TypeError): raise Invalid("not base64")
    need(base64.b64encode(raw, altchars=alphabet).decode() == text + pad, "not the one spelling of base64")
    return raw
def digest(text):
    return unbase64(text, b"-_", "=") if type(text) is str and len(text) == 43 else need(False, "not a hash")
def load(line):  # a JSON object in the one spelling, of version 1 if it has one
    try: value = json.loads(line, parse_float=str); json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError): raise Invalid(f"malformed: {line[:60]}")
    need(type(value) is dict, f"malformed: {line[:60]}")
    if type(value.get("v", 1)) is int and value.get("v", 1) != 1: raise Undecided(f"unknown version {value['v']}")
    need(json.dumps(value, separators=(",", ":")) == line, f"malformed: {line[:60]}")
    return value
def read(line, names, optional=()):  # just these fields, in this order, with values of these types
    value = load(line)
    need(list(value) == [n for n in names if n in value or n not in optional]
         and all(type(value[name]) is names[name] for name in value), f"malformed: {line[:60]}")
    need("entry" in names or "note" in names or all(type(v) is not int or abs(v) < 2**53 for v in value.values()), "too large")
    return value
def walk(at, last, start, proof, what):
    old = new = start
    for sibling in proof:
        need(last, what)
        if at & 1 or at == last:
            old, new = sha(b"\1", sibling, old), sha(b"\1", sibling, new)
            while not at & 1 and at: at, last = at >> 1, last >> 1
        else: new = sha(b"\1", new, sibling)
        at, last = at >> 1, last >> 1
    return (old, new) if not last else need(False, what)
def inclusion(line, index, size, proof, root, what):
    need(index < size and walk(index, size - 1, sha(b"\0", line.encode()), proof, what)[1] == root, what)
def consistency(old, new, old_root, new_root, proof, what="the log does not go on from the pinned checkpoint"):
    if old in (0, new): return need(not proof and (old != new or old_root == new_root), what)
    proof = [old_root] + proof if old & (old - 1) == 0 else proof
    need(old < new and proof, what)
    shift = (old ^ (old - 1)).bit_length() - 1
    need(walk(old - 1 >> shift, new - 1 >> shift, proof[0], proof[1:], what) == (old_root, new_root), what)
def sound(raw): return (y := int.from_bytes(raw, "little") & (2**255 - 1)) < P and y not in LOW_ORDER_Y
def open_note(note, keys):
    text, mark, lines = note.rpartition("\n\n")
    need(mark and lines.endswith("\n") and re.search("[^\n -~\xa0-\U0010ffff]", note) is None, "the note is malformed")
    text, seen, verified = text + "\n", set(), False
    for dash, name, encoded in ((line.split(" ") + [""] * 3)[:3] for line in lines[:-1].split("\n")):
        raw = unbase64(encoded)
        need(f"{dash} {name} {encoded}" in lines.split("\n") and dash == "\u2014" and name and "+" not in name
             and len(raw) > 4 and (name, raw[:4]) not in seen and len(seen) < 64, "the note is malformed")
        seen.add((name, raw[:4]))
        for public in (public for key_name, key_id, public in keys if (name, raw[:4]) == (key_name, key_id)):
            need(len(raw) == 68 and sound(raw[4:36]) and sound(public), "wrong signature")
            try: Ed25519PublicKey.from_public_bytes(public).verify(raw[4:], text.encode())
            except InvalidSignature: raise Invalid("wrong signature")
            verified = True
    if not verified: raise Undecided("not signed by a known key")
    origin, size, root = (text.split("\n") + [""] * 3)[:3]
    need(re.fullmatch("[^\n]+\n(0|[1-9][0-9]*)\n[^\n]{44}\n", text), "not a checkpoint")
    return origin, int(size), unbase64(root)
def parse_key(text):
    name, key_id, raw = text.split("+", 2)[0], text.split("+", 2)[1], unbase64(text.split("+", 2)[2])
    need(len(raw) == 33 and raw[0] == 1 and sha(name.encode(), b"\n", raw)[:4].hex() == key_id, "not a verifier key")
    return name, bytes.fromhex(key_id), raw[1:]
def parse(text):
    header, *lines = text.split("\n")
    parts = [read(header, HEADER)]
    need(parts[0]["type"] == "realm-ledger-bundle" and is_key(parts[0]["clientKey"]) and lines[-1:] == [""], "malformed")
    for line in lines[:-1]:
        part = read(line, LINES.get(line[9:].split('"')[0], {}), ("salt", "payload", "other"))
        need(("salt" in part) == ("payload" in part), "malformed: a salt without payload")
        parts.append(part | {name: [digest(text) for text in part.get(name, [])] for name in ("proof", "siblings")})
    kinds, once = [part["type"] for part in parts], ["checkpoint", "seal", "head"]
    need(kinds[1:4] == once and not {*once} & {*kinds[4:]} and "consistency" not in kinds[:-1], "lines out of order")
    apps = [part["appKey"] for part in parts if "appKey" in part]
    return parts if apps == sorted({*apps}, key=str.encode) and all(map(is_key, apps)) else need(False, "apps out of order")
def chain(records, stream, app, client, size, root, end):  # steps 4 and 5: the stream's head, and the apps in it
    head, apps = None, set()
    for number, part in enumerate(records, 1):
        entry, what = read(part["entry"], RECORD), f"record {number} of {app or 'the tenant'}: "
        need(digest(entry["k"]) == stream and app in ("", entry["a"]) and entry["y"] != "rejected", what + "of another stream")
        need(entry["n"] == number and digest(entry["p"]) == (head[2] if head else ZERO), what + "not the next one")
        need((head[1] if head else -1) < part["index"] < end, what + "its index does not rise")
        inclusion(part["entry"], part["index"], size, part["proof"], root, what + "not in the log")
        head, apps = (number, part["index"], sha(b"\0", part["entry"].encode())), apps | {entry["a"]}
        if "payload" in part:
            mac = hmac.digest(digest(part["salt"]), b"realm-ledger/payload/v1\0" + part["payload"].encode(), "sha256")
            need(mac == digest(entry["d"]), what + "another payload than committed to")
            need(load(part["payload"]).get("clientKey") == (None if app else client), what + "a payload of another stream")
    return head, apps
def climb(section, stream, head, map_root, what="the records are not all that the seal knows of"):
    siblings, other = section["siblings"], section.get("other")
    need(len(siblings) <= 256 and section["n"] == (head[0] if head else 0) and siblings[:1] != [ZERO]
         and (other is None or not head and list(other) == ["k", "c"]), what)
    node, key = ZERO, digest(other["k"]) if other else None
    if head: node = sha(b"\2", stream, sha(b"realm-ledger/head/v1\0", struct.pack(">QQ", *head[:2]), head[2]))
    elif other: node = sha(b"\2", key, digest(other["c"]))
    need(key != stream and not (key and any(bit(key, at) != bit(stream, at) for at in range(len(siblings)))), what)
    for at, sibling in zip(reversed(range(len(siblings))), siblings):
        node = sha(b"\3", sibling, node) if bit(stream, at) else sha(b"\3", node, sibling)
    need(node == map_root, what)
def verify(text, vkeys, pinned):
    header, note, seal, *rest = parse(text)
    keys = [key for key in map(parse_key, vkeys) if key[0] == header["origin"]]
    origin, size, root = open_note(note["note"], keys)
    need(origin == header["origin"], "the checkpoint is of another log")
    sealed = read(seal["entry"], SEAL)
    need(sealed["y"] == "seal" and seal["index"] == sealed["c"] == size - 1, "the seal is not the last leaf")
    inclusion(seal["entry"], seal["index"], size, seal["proof"], root, "the seal is not in the log")
    heads, last = [], rest[-1] if rest[-1]["type"] == "consistency" else None
    starts = [at for at, part in enumerate(rest) if part["type"] != "record"] + [len(rest)]
    for section, records in ((rest[at], rest[at + 1:to]) for at, to in zip(starts, starts[1:-1] if last else starts[1:])):
        app, key = section.get("appKey", ""), section.get("appKey", header["clientKey"]).encode()
        stream = sha(b"realm-ledger/key/v1\0", struct.pack(">BH", 2 if app else 1, len(key)), key)
        heads.append((section, stream, *chain(records, stream, app, header["clientKey"], size, root, seal["index"])))
    for section, stream, head, _ in heads: climb(section, stream, head, digest(sealed["m"]))
    need(all(section["appKey"] in heads[0][3] for section, *_ in heads[1:]), "a section of an app without a record")
    if pinned is None and last: raise Undecided("goes on from a pinned checkpoint: give it")
    if pinned is not None:
        pinned_origin, pinned_size, pinned_root = open_note(pinned, keys)
        need(pinned_origin == origin, "the pinned checkpoint is of another log")
        if (last["from"] if last else size) != pinned_size: raise Undecided("does not go on from the pinned checkpoint")
        consistency(pinned_size, size, pinned_root, root, last["proof"] if last else [])
    return f"{rest[0]['n']} records of {json.dumps(header['clientKey'])}, all there are at size {size}"
if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name, more in ("bundle", {}), ("--key", dict(action="append", default=[])), ("--pinned", {}): parser.add_argument(name, **more)
    args, text = parser.parse_args(), lambda path: open(path, encoding="utf-8", newline="").read()
    try: print("valid:", verify(text(args.bundle), args.key, text(args.pinned) if args.pinned else None))
    except (Invalid, UnicodeDecodeError) as fault: sys.exit(print("invalid:", fault) or 3)
    except Undecided as doubt: sys.exit(print("cannot be judged:", doubt) or 1)

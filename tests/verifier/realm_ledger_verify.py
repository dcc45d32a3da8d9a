"""Verifies a realm ledger bundle, from proto/AUDIT.md alone: realm_ledger_verify.py BUNDLE --key VKEY [--pinned NOTE]
Exit code 0: valid, 3: invalid (names the first fact that fails), 1: cannot be judged. It knows neither the events nor the
realm rules: whether payloads tell whole events, and decisions follow from them, is left to others, and it says so."""
import argparse, base64, datetime, hashlib, hmac, itertools, json, re, struct, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
EPOCH, P, ZERO, Y8 = datetime.datetime(1970, 1, 1), 2**255 - 19, bytes(32), 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826
TYPES, RULES = ("installed|uninstalled|enabled|disabled|migration-scheduled|migration-started|migration-committed|migration-rolled-back|"
    "migrated|override|data-located|subscription-observed|continued|superseded|product-moved|descriptor-published|policy-set|rejected",
    "REFRESH|IMPLICIT_REINSTALL|OVERRIDDEN|CONTINUED|FRESH|PRIOR_UNKNOWN|WINDOW_FORGOTTEN|PERSISTENCE_OFF|WINDOW_EXPIRED|REALM_WITHDRAWN|PERSISTED")
NO_REALMS, HASH, TEXT = "DEFAULT|UNDEFINED|NONE|NULL|NAN|TRUE|FALSE", '"[0-9A-Za-z_-]{43}"', r'"(?:[^"\\]|\\.)*"'
KINDS = {"S": TEXT, "N": "[0-9]+", "I": "-?[0-9]+", "H": HASH, "L": rf"\[(?:{HASH}(?:,{HASH})*)?\]", "O": f'{{"k":{HASH},"c":{HASH}}}',
         "X": f'{HASH},"payload":{TEXT}', "R": f'"(?:(?!(?:{NO_REALMS})")[A-Z][A-Z0-9-]{{1,15}})?"', "Y": f'"(?:{TYPES})"', "U": f'"(?:{RULES})?"'}
def grammar(spec):  # an object of just these fields, in this order; ? may be absent
    fields = [re.fullmatch(r"(\w+):(.*?)(\??)", field).groups() for field in spec.split()]
    return "{" + "".join(f'(?:,"{name}":{KINDS.get(kind, kind)}){may}' for name, kind, may in fields).replace(",", "", 1) + "}"
RECORD, SEAL = grammar("v:1 k:H n:N p:H y:Y a:S t:I q:I o:S r:R u:U d:H"), grammar('v:1 y:"seal" c:N m:H keys:N next:S dup:N rej:N t:I')
LINES = {kind: grammar(f'type:"{kind}" {fields}') for kind, fields in (
    ("realm-ledger-bundle", "v:1 clientKey:S origin:S"), ("checkpoint", "note:S"), ("head", "n:N siblings:L other:O?"), ("consistency", "from:N proof:L"),
    ("seal", "index:N entry:S proof:L"), ("app", "appKey:S n:N siblings:L other:O?"), ("record", "index:N entry:S salt:X? proof:L"))}
Invalid, Undecided = type("Invalid", (Exception,), {}), type("Undecided", (Exception,), {})
def need(fact, message):
    if not fact: raise Invalid(message)
def sha(*parts): return hashlib.sha256(b"".join(parts)).digest()
def bit(key, at): return key[at // 8] >> 7 - at % 8 & 1
def is_control(c): return c < " " or "\x7f" <= c <= "\x9f"
def is_name(text): return text and "+" not in text and not any(c.isspace() or is_control(c) for c in text)
def is_key(text): return 0 < len(text.encode()) < 256 and not any(map(is_control, text))
def unbase64(text, alphabet=b"+/", pad=""):
    try: raw = base64.b64decode(text + pad, altchars=alphabet, validate=True)
    except ValueError: raw = b""
    return raw if base64.b64encode(raw, altchars=alphabet).decode() == text + pad else need(False, "not the one spelling of base64")
def digest(text): return unbase64(text, b"-_", "=")
def exact(digits): return int(digits) if -2**63 <= int(digits) < 2**64 else need(False, "too large")
def read(line, pattern, before=None):  # a JSON object in the one spelling, of version 1 where it has one, behind what stands before it
    version = before and line.count('"v":') == 1 and re.match(re.escape(before) + "(0|[1-9][0-9]{0,19})[,}]", line)
    if version and version[1] != "1": raise Undecided(f"unknown version {exact(version[1])}")
    try: value = json.loads(line, parse_float=str); json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError): raise Invalid(f"malformed: {line[:60]}")
    need(json.dumps(value, separators=(",", ":")) == line and re.fullmatch(pattern, line), f"malformed: {line[:60]}")
    is_exact = not before or all(type(v) is not int or abs(v) < 2**53 for v in value.values()) and is_key(value.get("a") or "-")
    return json.loads(line, parse_int=exact) if is_exact else need(False, f"malformed: {line[:60]}")
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
    full = old & -old  # whole subtrees of the old log that end it
    need(walk((old - 1) // full, (new - 1) // full, proof[0], proof[1:], what) == (old_root, new_root), what)
def sound(raw): return (y := int.from_bytes(raw, "little") & (2**255 - 1)) < P and y not in (0, 1, P - 1, Y8, P - Y8)
def open_note(note, keys):
    text, mark, lines = note.rpartition("\n\n")
    need(mark and lines.endswith("\n") and not any(is_control(c) and c != "\n" for c in note), "the note is malformed")
    text, seen, verified = text + "\n", set(), False
    for dash, name, encoded in ((line.split(" ", 2) + [""] * 2)[:3] for line in lines[:-1].split("\n")):
        raw = unbase64(encoded)
        need(dash == "\u2014" and is_name(name) and len(raw) > 4 and (name, raw[:4]) not in seen and len(seen) < 64, "malformed note")
        seen.add((name, raw[:4]))
        for _, _, public in (key for key in keys if key[:2] == (name, raw[:4])):
            need(len(raw) == 68 and sound(raw[4:36]) and sound(public), "wrong signature")
            try: verified = not Ed25519PublicKey.from_public_bytes(public).verify(raw[4:], text.encode())
            except InvalidSignature: raise Invalid("wrong signature")
    if not verified: raise Undecided("not signed by a known key")
    found = re.fullmatch("([^\n]+)\n(0|[1-9][0-9]*)\n([^\n]{44})\n", text) or need(False, "not a checkpoint")
    return found[1], exact(found[2]), unbase64(found[3])
def parse_key(text):
    try:
        (name, key_id, _), raw = text.split("+", 2), unbase64(text.split("+", 2)[-1])
        need(is_name(name) and len(raw) == 33 and raw[0] == 1 and sha(name.encode(), b"\n", raw)[:4].hex() == key_id, "no key")
    except (Invalid, ValueError): raise Undecided(f"this is no verifier key, is it mistyped? {text!a}")
    return name, bytes.fromhex(key_id), raw[1:]
def parse(text):
    first, *lines = text.removesuffix("\n").split("\n")
    parts = [read(first, LINES["realm-ledger-bundle"], '{"type":"realm-ledger-bundle","v":')]
    parts += [read(line, LINES.get(line[9:].split('"')[0], "x")) for line in lines]
    kinds, apps = " ".join(part["type"] for part in parts[1:]), [part["appKey"] for part in parts if "appKey" in part]
    need(text[-1] == "\n" and re.fullmatch("checkpoint seal head( record)*( app( record)*)*( consistency)?", kinds), "lines out of order")
    for part in parts: part |= {name: [digest(text) for text in part[name]] for name in ("proof", "siblings") if name in part}
    need(all(map(is_key, [parts[0]["clientKey"], *apps])) and apps == sorted({*apps}, key=str.encode), "apps out of order")
    return parts
def chain(records, stream, app, size, root, end):  # step 4: the stream's head, and the apps in it
    head, apps = None, set()
    for number, part in enumerate(records, 1):
        entry, what = read(part["entry"], RECORD, '{"v":'), f"record {number} of {app or 'the tenant'}: "
        need(digest(entry["k"]) == stream and app in (None, entry["a"]) and entry["y"] != "rejected", what + "of another stream")
        need(entry["n"] == number and digest(entry["p"]) == (head[2] if head else ZERO), what + "not the next one")
        need((head[1] if head else -1) < part["index"] < end, what + "its index does not rise")
        inclusion(part["entry"], part["index"], size, part["proof"], root, what + "not in the log")
        head, apps = (number, part["index"], sha(b"\0", part["entry"].encode())), apps | {entry["a"]}
    return head, apps
def open_payload(part, client):  # step 5, as far as it goes without knowing the events
    entry, text, what = json.loads(part["entry"]), part["payload"], f"a payload of another record: {part['payload'][:60]}"
    need(hmac.digest(digest(part["salt"]), b"realm-ledger/payload/v1\0" + text.encode(), "sha256") == digest(entry["d"]), "another payload")
    try: payload = json.loads(text, parse_float=str); told = [payload["event"].get(name) for name in ("type", "appKey", "clientKey", "time")]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError): raise Invalid(what)
    time = EPOCH + datetime.timedelta(milliseconds=max(-62135596800000, min(entry["t"], 253402300799999)))
    need(told == [entry["y"], entry["a"] or None, client, time.isoformat(timespec="milliseconds") + "Z"], what)
    need(json.dumps(payload, separators=(",", ":"), sort_keys=True, ensure_ascii=False) == text, what)
def climb(section, stream, head, map_root, what="the records are not all that the seal knows of"):
    siblings, other = section["siblings"], section.get("other")
    need(len(siblings) <= 256 and section["n"] == (head[0] if head else 0) and siblings[:1] != [ZERO] and not (head and other), what)
    node, key = ZERO, digest(other["k"]) if other else None
    if head: node = sha(b"\2", stream, sha(b"realm-ledger/head/v1\0", struct.pack(">QQ", *head[:2]), head[2]))
    elif other: node = sha(b"\2", key, digest(other["c"]))
    need(key != stream and not (key and any(bit(key, at) != bit(stream, at) for at in range(len(siblings)))), what)
    for at, sibling in zip(reversed(range(len(siblings))), siblings):
        node = sha(b"\3", sibling, node) if bit(stream, at) else sha(b"\3", node, sibling)
    need(node == map_root, what)
def verify(text, vkeys, pinned):
    header, note, seal, *rest = parse(text)
    origin, size, root = open_note(note["note"], keys := [key for key in map(parse_key, vkeys) if key[0] == header["origin"]])
    need(origin == header["origin"], "the checkpoint is of another log")
    sealed = read(seal["entry"], SEAL, '{"v":')
    need(seal["index"] == sealed["c"] == size - 1, "the seal is not the last leaf")
    inclusion(seal["entry"], seal["index"], size, seal["proof"], root, "the seal is not in the log")
    last, streams = rest.pop() if rest[-1]["type"] == "consistency" else None, []
    for at, section in ((at, part) for at, part in enumerate(rest) if "siblings" in part):
        app, key = section.get("appKey"), section.get("appKey", header["clientKey"]).encode()
        records = list(itertools.takewhile(lambda part: "entry" in part, rest[at + 1:]))
        stream = sha(b"realm-ledger/key/v1\0", struct.pack(">BH", 2 if app else 1, len(key)), key)
        streams.append((section, stream, records, *chain(records, stream, app, size, root, seal["index"])))
    for section, _, records, *_ in streams:
        for part in (part for part in records if "payload" in part): open_payload(part, None if "appKey" in section else header["clientKey"])
    for section, stream, _, head, _ in streams: climb(section, stream, head, digest(sealed["m"]))
    need(all(section["appKey"] in streams[0][4] for section, *_ in streams[1:]), "a section of an app without a record")
    if pinned is None and last: raise Undecided("goes on from a pinned checkpoint: give it")
    if pinned is not None:
        pinned_origin, pinned_size, pinned_root = open_note(pinned, keys)
        need(pinned_origin == origin, "the pinned checkpoint is of another log")
        if (last["from"] if last else size) != pinned_size: raise Undecided("made without the pinned checkpoint, see prove --pinned")
        consistency(pinned_size, size, pinned_root, root, last["proof"] if last else [])
    return f"{rest[0]['n']} records of {json.dumps(header['clientKey'])}, all at {size}; whether decisions follow: not checked (step 8)"
if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name, more in ("bundle", {}), ("--key", dict(action="append", default=[])), ("--pinned", {}): parser.add_argument(name, **more)
    args, text = parser.parse_args(), lambda path: open(path, encoding="utf-8", newline="").read()
    try: print("valid:", verify(text(args.bundle), args.key, text(args.pinned) if args.pinned else None))
    except (Invalid, UnicodeDecodeError) as fault: sys.exit(print("invalid:", fault) or 3)
    except (Undecided, OSError) as doubt: sys.exit(print("cannot be judged:", doubt) or 1)

"""Judges many bundles with the verifier beside it: reads {"keys", "pinned"?, "bundle"} a line, writes an exit code a line."""
import json, os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from realm_ledger_verify import Invalid, Undecided, verify
for line in sys.stdin:
    case = json.loads(line)
    try: verify(case["bundle"], case["keys"], case.get("pinned")); code = 0
    except Invalid: code = 3
    except Undecided: code = 1
    print(code)

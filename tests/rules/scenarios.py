"""Plays worked histories through the reference: scenarios.py FILE... Exit 1 where it has other states or refusals."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from answers import states
from decode import Ledger, instant

CLOCK = instant('2026-12-31T00:00:00Z')

different = 0
for name in sys.argv[1:]:
    scenario = json.loads(Path(name).read_text())
    ledger = Ledger([json.dumps(event) for event in scenario['events']], CLOCK)
    rejected = [{'line': line, 'reason': reason} for line, reason, _ in ledger.rejected]
    found = [(rejected, scenario.get('rejected', []), 'refused lines')]
    for expected in scenario['expect']:
        ours = states(ledger.events, instant(expected['at']))
        ours = [{field: value for field, value in state.items() if field not in ('seq', 'asOf')} for state in ours]
        found.append((ours, expected['states'], expected['at']))
    for ours, theirs, what in found:
        if ours != theirs:
            different += 1
            print(f'{name}, {what}:\n  the reference {json.dumps(ours)}\n  the scenario  {json.dumps(theirs)}')
sys.exit(1 if different else 0)

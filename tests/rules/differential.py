"""Compares the program with the reference on random histories; `tests/it/rules.rs` runs it.

    differential.py PROGRAM SCRATCH FIRST_SEED SEEDS [HISTORIES]

Each seed is one import of HISTORIES histories, then questions of every kind. A difference is shrunk, and printed as a
scenario with what the rules say and what the program answered. Exit 1: there is a difference, or something that must
occur never did."""

import itertools
import json
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import answers
import reference
from decode import DAY, TYPES, Ledger, realm, written
from histories import POLICIES, file_of

EVENTS = 25
REALMS_ASKED = [None, None, 'EU', 'us', 'default', 'JP']
WHAT_IF = [policy for policy in POLICIES if len(policy) < 3 and policy.get('days') not in ('x', '@@30.0@@')]


@dataclass
class Question:
    kind: str
    at: int = None
    known_at: int = None
    # As known with this record: (client key, app key, id), so that it stays the same where lines are dropped.
    record: tuple = None
    subject: tuple = ()
    product: str = None
    policy: dict = None

    def by_rules(self, ledger):
        events = ledger.events
        if self.kind == 'rejected':
            return [refusal(*rejected) for rejected in ledger.rejected]
        if self.kind == 'whatif':
            return [answers.what_if(events, self.policy, self.at)]
        if self.known_at:
            events = [event for event in events if event.recorded <= self.known_at]
        if self.record:
            events = events[:self.recorded(ledger).arrival + 1]
        if self.kind == 'preview':
            return [answers.preview(events, *self.subject, self.at, self.product and realm(self.product))]
        if self.subject:
            events = [event for event in events if event.clientKey in (None, *self.subject)]
        return answers.states(events, self.at)

    def recorded(self, ledger):
        return next(event for event in ledger.events if (event.clientKey, event.appKey, event.id) == self.record)

    def by_program(self, program, directory, ledger):
        command = ['quarantine', 'list'] if self.kind == 'rejected' else [self.kind, *self.subject]
        if self.policy:
            command += ['--policy', json.dumps(self.policy)]
        elif self.at:
            command += ['--at', written(self.at)]
        if self.known_at:
            command += ['--known-at', written(self.known_at)]
        if self.record:
            command += ['--known-seq', str(self.recorded(ledger).seq)]
        if self.product:
            command += ['--product-realm', self.product]
        found = program.run(*command, '--data-dir', f'{directory}/data', '--format', 'json')
        if self.kind == 'rejected':
            return [refusal(item['source']['offset'], item['reason'], item.get('path')) for item in found]
        if self.kind == 'whatif':
            found[0].get('gaps', {}).pop('bins', None)  # for a picture, not of the text
        return found


def refusal(line, reason, path):
    """The text promises a path for values that are invalid, and for a recorded time; down to where, it leaves open."""
    promised = path and (reason == 'invalid-field' or path == 'recordedAt')
    return [line, reason, re.split('[.[]', path)[0] if promised else None]


def same(ours, theirs):
    """Equal as JSON: 1 is not 1.0, and not true."""
    return json.dumps(ours, sort_keys=True) == json.dumps(theirs, sort_keys=True)


def questions(dice, events, clock):
    """What is asked of one import: everything at many instants, some of it as it was known, and single ones."""
    times = sorted({event.time for event in events})

    def instant(times=times, steps=(-1, 0, 0, 0, 1, 5 * 60 * 1000, DAY, DAY + 1, 7 * DAY)):
        return dice.choice(times) + dice.choice(steps)

    def cut():
        return dice.choice(events).recorded + dice.choice([-1, 0])

    yield Question('rejected')
    yield from (Question('whatif', clock, policy=policy) for policy in dice.sample(WHAT_IF, 3))
    yield Question('state', times[-1] + 400 * DAY)
    yield from (Question('state', instant()) for _ in range(9))
    yield from (Question('state', instant(), cut()) for _ in range(6))
    of_tenants = [event for event in events if event.clientKey]
    for event in dice.choices(of_tenants, k=25):
        yield Question('state', instant([event.time]), record=(event.clientKey, event.appKey, event.id),
                       subject=(event.clientKey,))
    for subject in dice.choices(answers.installations(events), k=30):
        at = instant([event.time for event in of_tenants if event.clientKey == subject[0]])
        yield Question('preview', at, dice.choice([None, None, cut()]), subject=subject, product=dice.choice(REALMS_ASKED))


class Program:
    def __init__(self, binary, scratch):
        self.binary, self.scratch, self.names = binary, Path(scratch), itertools.count()

    def run(self, *arguments):
        done = subprocess.run([self.binary, *arguments], capture_output=True, encoding='utf-8')
        if done.returncode:
            raise RuntimeError(f'{arguments}: exit {done.returncode}: {done.stderr.strip()}')
        return [json.loads(line) for line in done.stdout.splitlines()]

    def take(self, lines):
        """A new directory with a ledger of these lines."""
        directory = self.scratch / f'{next(self.names)}'
        directory.mkdir(parents=True)
        (directory / 'lines').write_text(''.join(line + '\n' for line in lines))
        self.run('import', f'{directory}/lines', '--data-dir', f'{directory}/data', '--accept-refusals')
        return directory


class Differential:
    def __init__(self, binary, scratch, histories):
        self.program, self.histories = Program(binary, scratch), histories
        self.clock, self.counted = int(time.time() * 1000), Counter()

    def agree(self, seed):
        """Whether program and rules agree on everything that is asked of this seed's histories."""
        lines = file_of(seed, self.histories, EVENTS)
        ledger, directory = Ledger(lines, self.clock), self.program.take(lines)
        self.counted.update(['lines'] * len(lines) + ['duplicates'] * ledger.duplicates)
        self.counted.update(event.type for event in ledger.events)
        self.counted.update(reason for _, reason, _ in ledger.rejected)
        for question in questions(random.Random(seed), ledger.events, self.clock):
            self.counted[f'asked: {question.kind}'] += 1
            if not same(question.by_rules(ledger), question.by_program(self.program, directory, ledger)):
                self.report(seed, self.shrunk(lines, question), question)
                return False
        shutil.rmtree(directory)
        return True

    def ask_both(self, lines, question):
        ledger, directory = Ledger(lines, self.clock), self.program.take(lines)
        try:
            return question.by_rules(ledger), question.by_program(self.program, directory, ledger)
        except (RuntimeError, StopIteration):
            return None, None  # what is asked for is not in these lines
        finally:
            shutil.rmtree(directory)

    def shrunk(self, lines, question):
        """Drops ever smaller pieces while the answers still differ."""
        piece = len(lines) // 2
        while piece:
            for start in range(len(lines) - piece, -1, -piece):
                fewer = lines[:start] + lines[start + piece:]
                if not same(*self.ask_both(fewer, question)):
                    lines = fewer
            piece //= 2
        return lines

    def report(self, seed, lines, question):
        ours, theirs = self.ask_both(lines, question)
        events = [json.loads(line) if line.startswith('{') and line.endswith('}') else line for line in lines]
        print(json.dumps({'name': f'seed-{seed}', 'about': str(question), 'events': events, 'expect': ours,
                          'program': theirs}, indent=1, ensure_ascii=False))
        for one, other in itertools.zip_longest(ours, theirs):
            if isinstance(one, dict) and isinstance(other, dict):
                for name in sorted(name for name in {*one, *other} if not same(one.get(name), other.get(name))):
                    print(f'difference in {name}: the rules {one.get(name)}, the program {other.get(name)}')


def coverage(counted):
    """How often each thing occurred that must: every row and anomaly of the reference, policy, event, refusal, question."""
    names = reference.ANOMALIES + re.findall(r"row\('([^']+\w)'\)", Path(reference.__file__).read_text())
    names += [f'policy {mode}' for mode in ('descriptor', 'off', 'days', 'indefinite', 'subscription')]
    others = ['undecodable', 'unsupported-type', 'missing-field', 'invalid-field', 'event-id-conflict', 'time-in-future',
              'too-large', 'duplicates', 'lines', *(f'asked: {kind}' for kind in ('state', 'preview', 'whatif', 'rejected'))]
    return {name: reference.reached[name] for name in names} | {name: counted[name] for name in [*TYPES, *others]}


def main(binary, scratch, first, seeds, histories=60):
    differential = Differential(binary, scratch, int(histories))
    different = [seed for seed in range(int(first), int(first) + int(seeds)) if not differential.agree(seed)]
    table = coverage(differential.counted)
    print(''.join(f'{count:9} {name}\n' for name, count in table.items()))
    missing = [name for name, count in table.items() if count == 0]
    print(f'seeds with differences: {different}; never occurred: {missing}')
    return 1 if different or missing else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))

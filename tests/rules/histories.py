"""Random histories that are nasty on purpose: few names, few realms, times at and around each border of the rules.

A history is a list of lines. Text between `@@` stands for JSON that Python would not write."""

import json
import random
import re

from decode import DAY, KEYS, TYPES, instant, written

START = instant('2020-01-01T00:00:00Z')
MINUTES = 5 * 60 * 1000
STEPS = [0, 0, 0, 1, 1000, 60_000, MINUTES - 1, MINUTES, MINUTES + 1, 3_600_000, DAY - 1, DAY, DAY + 1, 2 * DAY,
         2 * DAY + 1, 7 * DAY - 1, 7 * DAY, 14 * DAY, 30 * DAY]
REALMS = ['EU', 'EU', 'EU', 'US', 'US', 'US', 'DE', 'GLOBAL', 'default', 'eu', 'Us', 'DEFAULT']
NO_REALMS = ['none', 'NULL', 'NaN', 'true', 'FALSE', 'undefined', 'E', 'E_U', 'EUROPE-SOUTH-EAST-1', 'ÉU', '1EU', ' EU',
             7, True, ['EU'], {}, '']
DAYS = [0, 31, 30, 1, 2, 14, -1, '14', None, [], {'a': 1}, True, False, '@@2.5@@', '@@14.0@@', '@@1e400@@', '@@1e0@@',
        '@@-0@@', '@@0.3e2@@', 9007199254740993]
PERSISTENCE = [True, True, True, True, True, True, False, 'true', 1, None, [], '@@1.0@@']
RESIDENCIES = ['yes', [], None, {}, {'other': 1}, {'realmPersistenceDays': 9}]
REGIONS = [{'US': 'https://us.example.com', 'EU': 'https://eu.example.com'}, {'EU': 'https://eu.example.com'},
           {'eu': 'https://eu.example.com', 'DE': 'https://de.example.com'}, {'US': 'HTTP://us.example.com:81/a?b'},
           {'EU': None, 'US': 'https://us.example.com'}, {'EU': None}, {}, None]
POLICIES = [{'mode': 'descriptor'}, {'mode': 'descriptor', 'days': 'x'}, {'mode': 'off'}, {'mode': 'days', 'days': 1},
            {'mode': 'days', 'days': '@@30.0@@'}, {'mode': 'days', 'days': 36500}, {'mode': 'indefinite'},
            {'mode': 'subscription', 'graceDays': 0}, {'mode': 'subscription', 'graceDays': 2},
            {'mode': 'subscription', 'graceDays': 7, 'days': 0}]
NO_POLICIES = [{'mode': 'days'}, {'mode': 'days', 'days': 0}, {'mode': 'days', 'days': 36501}, {'mode': 'Off'}, {},
               {'mode': 'days', 'days': '7'}, {'mode': 'subscription', 'graceDays': -1}, 'off', [],
               {'mode': 'subscription', 'graceDays': '@@0.5@@'}]
NO_TIMES = ['1970-01-01T00:00:00Z', '0001-01-01T00:00:00Z', '2009-12-31T23:59:59.999Z', 'yesterday', 1767225600000, '',
            '2026-02-30T00:00:00Z', '2026-01-01']
FUTURE = ['2206-01-01T00:00:00Z', '9999-12-31T23:59:59Z']
NO_DESCRIPTORS = ['x', [], {}, {'baseUrl': 'example.com'}, {'baseUrl': 'ftp://example.com'}, {'baseUrl': 7},
                  {'baseUrl': 'https://a.example', 'regionBaseUrls': {'GLOBAL': 'https://a.example'}},
                  {'baseUrl': 'https://a.example', 'regionBaseUrls': {'Default': 'https://a.example'}},
                  {'baseUrl': 'https://a.example', 'regionBaseUrls': {'EU': 'https://a.example', 'eu': None}},
                  {'baseUrl': 'https://a.example', 'regionBaseUrls': {'EU': '/a'}},
                  {'baseUrl': 'https://a.example', 'regionBaseUrls': []}]
EVIDENCE = ['connect-installed', 'app-property', 'operator', 'x', 'é' * 32]
# What follows one another in life; the rest of the events come between, before and after.
STORIES = ['installed', 'uninstalled installed', 'installed uninstalled installed', 'installed uninstalled',
           'superseded uninstalled uninstalled', 'continued installed continued', 'uninstalled override installed',
           'migration-scheduled migration-started installed migration-committed installed',
           'migration-scheduled installed migration-rolled-back installed',
           'migration-scheduled installed installed installed migration-rolled-back', 'migrated installed uninstalled',
           'migration-committed migration-committed migration-rolled-back installed', 'enabled installed',
           'migration-started enabled continued installed', 'override installed override uninstalled',
           'uninstalled subscription-observed subscription-observed installed',
           'policy-set subscription-observed uninstalled subscription-observed installed',
           'installed data-located migrated migration-rolled-back', 'installed product-moved uninstalled installed']


def in_json(event):
    return re.sub('"@@(.*?)@@"', r'\1', event if isinstance(event, str) else json.dumps(event))


class History:
    def __init__(self, seed, name, size):
        self.dice = random.Random(f'{seed} {name}')
        self.tenants = [f'{name}-t{n}' for n in range(self.dice.choice([1, 2, 4]))]
        self.apps = [f'{name}.a{n}' for n in range(self.dice.choice([1, 1, 2]))]
        self.now, self.events, self.arrivals = START + self.dice.choice([0, 0, 1, DAY]), [], []
        # Each history has its own favourite types, steps, lateness and faults.
        self.weights = [self.dice.choice([0.01, 0.2, 1, 1, 4]) for _ in TYPES]
        self.steps = self.dice.sample(STEPS, 6)
        self.lateness, self.faults = self.dice.choice([0, 0.1, 0.4]), self.dice.choice([0, 0.03, 0.15])
        self.observes, self.favourites, self.migration_id = self.dice.choice([0.3, 0.9]), REALMS, None
        for app_key in self.apps:
            for kind, share in ('descriptor-published', 0.7), ('policy-set', 0.5):
                if self.chance(share):
                    self.events.append(self.event(kind, self.tenants[0], app_key))
                    self.arrive(self.events[-1])
        for _ in range(size):
            self.grow()

    def pick(self, *values):
        return self.dice.choice(values)

    def chance(self, share):
        return self.dice.random() < share

    def grow(self):
        subject = self.dice.choice(self.tenants), self.dice.choice(self.apps)
        kinds = self.dice.choice(STORIES).split() if self.chance(0.4) else []
        # A story is about few realms and one migration.
        self.favourites = self.dice.sample(REALMS, 2) if kinds else REALMS
        self.migration_id = self.pick('1', '2', 3, None) if kinds else None
        for kind in kinds or self.dice.choices(list(TYPES), self.weights, k=1):
            self.now += self.dice.choice(self.steps)
            event = self.event(kind, *subject)
            if self.events and self.chance(0.08):
                event = self.again(self.dice.choice(self.events))
            self.events.append(event)
            if self.chance(0.2):
                event = self.restyled(dict(event))
            if self.chance(self.faults) and not names_itself(event):
                event = self.spoiled(event)
            self.arrive(event)

    def arrive(self, event):
        recorded = self.now + self.pick(0, 0, 0, 1, 1000)
        if isinstance(event, dict) and not self.chance(0.1):
            stamp = recorded if not self.chance(0.05) else recorded - self.pick(1, DAY, 9 * DAY)
            event.setdefault('recordedAt', written(stamp))
        self.arrivals.append((recorded, in_json(event)))

    def realm(self):
        return self.dice.choice(self.favourites if self.chance(0.8) else REALMS)

    def maybe(self, share=0.5, **fields):
        return {name: value for name, value in fields.items() if self.chance(share)}

    def event(self, kind, client_key, app_key):
        time = self.now
        if self.events and self.chance(self.lateness):
            time = instant(self.dice.choice(self.events)['time']) + self.pick(0, 0, 1, -1, MINUTES, DAY)
        event = {'id': self.pick('1', '2', 'é', f'{len(self.events)}') + ('' if self.chance(0.1) else f'-{len(self.events)}'),
                 'type': kind, 'time': written(time), 'clientKey': client_key, 'appKey': app_key}
        level = TYPES[kind][0]
        if level == 'app' and not self.chance(0.2):
            del event['clientKey']
        if level == 'tenant' and not self.chance(0.2):
            del event['appKey']
        event.update(self.maybe(0.1, actor='someone', reason='a reason'))
        event.update(getattr(self, kind.replace('-', '_'), dict)())
        return event

    def descriptor(self):
        residency = self.dice.choice(RESIDENCIES) if self.chance(0.15) else {
            **self.maybe(0.9, realmPersistence=self.dice.choice(PERSISTENCE)),
            **self.maybe(0.7, realmPersistenceDays=self.dice.choice(DAYS)), **self.maybe(0.1, more=[1])}
        return {'baseUrl': self.pick('https://app.example.com', 'http://app.example.com/x'),
                **self.maybe(0.9, regionBaseUrls=self.dice.choice(REGIONS)), **self.maybe(0.2, version='1.0'),
                **self.maybe(0.9, dataResidency=residency)}

    def installed(self):
        return {**self.maybe(self.observes, endpointRealm=self.realm()), **self.maybe(0.4, productRealm=self.realm()),
                **self.maybe(0.15, descriptor=self.descriptor()), **self.maybe(0.3, installationId=self.pick('i1', 'i2', '')),
                **self.maybe(0.1, entitlementId=self.pick('e1', 'e2', '', None), siteUrl=self.pick('https://a', '', None))}

    def uninstalled(self):
        return {**self.maybe(self.observes, endpointRealm=self.realm()),
                **self.maybe(0.2, installationId=self.pick('i1', 'i2', '', None))}

    def migration(self, sure):
        return {'migrationId': self.migration_id or self.pick('1', '1', '2', 2, '3', f'{len(self.events)}'),
                **self.maybe(1 if sure else 0.4, targetRealm=self.realm())}

    def migration_scheduled(self):
        near = written(self.now + self.pick(-DAY, 0, 1, DAY, 2 * DAY))
        return {**self.migration(True), **self.maybe(0.4, startTime=near), **self.maybe(0.3, endTime=near)}

    def migration_started(self):
        return self.migration(False)

    migration_committed = migration_started

    def migration_rolled_back(self):
        return {**self.migration(False), **self.maybe(0.1, targetRealm='no realm')}

    def migrated(self):
        return {**self.migration(True), **self.maybe(0.5, sourceRealm=self.realm()), **self.maybe(0.4, migrationId=None)}

    def override(self):
        return {'action': self.pick('PIN', 'PIN', 'RELEASE', 'RELEASE', 'FORGET'), 'realm': self.realm(),
                'actor': 'support', 'reason': 'a ticket'}

    def data_located(self):
        return {'realm': self.realm()}

    def subscription_observed(self):
        return {'state': self.pick('ACTIVE', 'INACTIVE')}

    def link(self, side):
        evidence = self.dice.choice(EVIDENCE)
        return {side + 'ClientKey': self.pick('old', 'old', 'older', *self.tenants), **self.maybe(0.3, **{
            side + 'AppKey': self.pick('another', *self.apps)}), 'evidence': evidence,
            **({'actor': 'me', 'reason': 'seen'} if evidence == 'operator' else {})}

    def continued(self):
        return {**self.link('from'), **self.maybe(0.7, fromRealm=self.realm())}

    def superseded(self):
        return self.link('to')

    def product_moved(self):
        return {'productRealm': self.realm()}

    def descriptor_published(self):
        return {'descriptor': self.descriptor()}

    def policy_set(self):
        return {'policy': self.dice.choice(POLICIES)}

    def again(self, event):
        """The id of an earlier event: with the same content, with other content, or for another subject."""
        fields = {'time': written(self.now), 'reason': 'another', 'productRealm': 'US', 'realm': 'US', 'evidence': 'y',
                  'appKey': self.dice.choice(self.apps), 'clientKey': self.dice.choice(self.tenants)}
        name = self.dice.choice(sorted(fields))
        return dict(event) if self.chance(0.5) else {**event, name: fields[name]}

    def restyled(self, event):
        """The same content in other words."""
        for name, value in list(event.items()):
            if name.endswith('Realm') and isinstance(value, str):
                event[name] = self.pick(value.lower(), value)
        extra = {'unknown': {'a': [1]}, 'siteUrl': '', 'sharedSecret': 'x', 'installationId': event.get('installationId'),
                 'mode': 7}
        event.update(self.maybe(0.2, **extra))
        if event['type'] in ('continued', 'superseded'):
            side = 'from' if event['type'] == 'continued' else 'to'
            event.setdefault(side + 'AppKey', event.get('appKey'))
        if isinstance(event.get('descriptor'), dict) and not event['descriptor'].get('regionBaseUrls'):
            event['descriptor'] = {**event['descriptor'], 'regionBaseUrls': self.pick({}, None), 'key': 'x'}
        if event.get('time', '').endswith('Z') and len(event['time']) == 24:
            day, clock = event['time'][:10], event['time'][11:-1]
            event['time'] = self.pick(f'{day}T{clock}999Z', f'{day}t{clock}+00:00', f'{day}T{clock}z')
        return dict(sorted(event.items(), key=lambda item: self.dice.random()))

    def spoiled(self, event):
        """One fault, so that the text leaves no doubt which."""
        event = dict(event)
        spoilers = [lambda: {**event, 'type': self.pick('instaled', 'Installed', '')},
                    lambda: {**event, 'time': self.dice.choice(NO_TIMES)},
                    lambda: {**event, 'time': self.dice.choice(FUTURE)},
                    lambda: {**event, 'recordedAt': self.dice.choice(FUTURE)},
                    lambda: {**event, 'id': self.pick('x' * 256, 'a\u0007b', '', 5)},
                    lambda: {**event, 'reason': self.pick(5, [], True)},
                    lambda: self.pick('{"id":', 'installed', '{"id":"x"}}')]
        level, carries = TYPES[event['type']]
        names = ['id', 'type', 'time', *KEYS[level], *(field for field in carries if not field.endswith('?'))]
        name = self.dice.choice(names)
        spoilers += [lambda: {key: value for key, value in event.items() if key != name}, lambda: {**event, name: None}]
        wrong = {'descriptor': NO_DESCRIPTORS, 'policy': NO_POLICIES, 'startTime': NO_TIMES, 'endTime': NO_TIMES,
                 'action': ['pin', '', 1], 'state': ['active', '', True], 'evidence': ['', 'é' * 33, 1],
                 'migrationId': [True, '@@1.5@@', []], 'fromAppKey': ['', 5], 'toAppKey': ['', 5],
                 'fromClientKey': [''], 'toClientKey': [''], 'installationId': [5], 'entitlementId': [5], 'siteUrl': [5]}
        for field in (field.rstrip('?') for field in carries):
            if field in event and field not in ('actor', 'reason'):
                value = self.dice.choice(wrong.get(field, NO_REALMS))
                spoilers += [lambda field=field, value=value: {**event, field: value}] * 3
        if event['type'] in ('continued', 'superseded'):
            side = 'from' if event['type'] == 'continued' else 'to'
            spoilers += [lambda: {**event, side + 'ClientKey': event['clientKey'], side + 'AppKey': event['appKey']}] * 3
            spoilers.append(lambda: {**{k: v for k, v in event.items() if k != 'actor'}, 'evidence': 'operator'})
        return self.dice.choice(spoilers)()


def names_itself(event):
    """A link to its own installation: a fault already, and the text leaves open which of two is told."""
    own = event.get('clientKey'), event.get('appKey')
    return any(own == (event.get(side + 'ClientKey'), event.get(side + 'AppKey', own[1])) for side in ('from', 'to'))


def file_of(seed, histories, size):
    """The lines of many histories, each with names of its own, in the order in which they were recorded."""
    arrivals = [arrival for n in range(histories) for arrival in History(seed, f's{seed}h{n}', size).arrivals]
    lines = [line for _, line in sorted(arrivals, key=lambda arrival: arrival[0])]
    huge = {'id': 'huge', 'type': 'enabled', 'time': written(START), 'clientKey': 'huge', 'appKey': 'x' * (1 << 20)}
    return lines if seed % 4 else lines + [json.dumps(huge)]

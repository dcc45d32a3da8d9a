"""Lines of an import as events: sections 1, 2.3, 3 and 7 of the rules, read from the text alone.

An event is its normalised fields; instants are milliseconds since 1970, in UTC."""

import json
import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal

DAY = 24 * 3600 * 1000
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
INSTANT = re.compile(r'(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)')
NO_REALMS = {'UNDEFINED', 'NONE', 'NULL', 'NAN', 'TRUE', 'FALSE'}
COUNT_AS_ABSENT_IF_EMPTY = ('installationId', 'entitlementId', 'siteUrl')
# The table of section 3.
TYPES = {kind: (level, carries.split()) for kind, level, carries in [
    ('installed', 'installation',
     'endpointRealm? productRealm? descriptor? installationId? entitlementId? siteUrl?'),
    ('uninstalled', 'installation', 'endpointRealm? installationId?'),
    ('enabled', 'installation', ''),
    ('disabled', 'installation', ''),
    ('migration-scheduled', 'installation', 'migrationId targetRealm startTime? endTime?'),
    ('migration-started', 'installation', 'migrationId targetRealm?'),
    ('migration-committed', 'installation', 'migrationId targetRealm?'),
    ('migration-rolled-back', 'installation', 'migrationId'),
    ('migrated', 'installation', 'targetRealm sourceRealm? migrationId?'),
    ('override', 'installation', 'action actor reason'),
    ('data-located', 'installation', 'realm'),
    ('subscription-observed', 'installation', 'state'),
    ('continued', 'installation', 'fromClientKey fromAppKey? fromRealm? evidence'),
    ('superseded', 'installation', 'toClientKey toAppKey? evidence'),
    ('product-moved', 'tenant', 'productRealm'),
    ('descriptor-published', 'app', 'descriptor'),
    ('policy-set', 'app', 'policy')]}
KEYS = {'installation': ['clientKey', 'appKey'], 'tenant': ['clientKey'], 'app': ['appKey']}


class Refused(Exception):
    def __init__(self, reason, path=None):
        super().__init__(reason, path)
        self.reason, self.path = reason, path


class Event(dict):
    """Fields as attributes; an absent one is None."""
    __getattr__ = dict.get


def instant(value):
    found = INSTANT.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError(value)
    day, clock, fraction, zone = found.groups()
    moment = datetime.fromisoformat(f'{day}T{clock}' + ('+00:00' if zone in 'Zz' else zone))
    return (moment - EPOCH) // timedelta(milliseconds=1) + int(((fraction or '.') + '000')[1:4])


def written(ms):
    moment = EPOCH + timedelta(milliseconds=ms)
    return moment.strftime('%Y-%m-%dT%H:%M:%S.') + f'{moment.microsecond // 1000:03}Z'


EARLIEST = instant('2010-01-01T00:00:00Z')


# How fields are read: each function returns the normalised value, or raises ValueError.

def time(value):
    ms = instant(value)
    return require(ms >= EARLIEST, ms)


def require(holds, value):
    if not holds:
        raise ValueError(value)
    return value


def text(value):
    return require(isinstance(value, str), value)


def key(value):
    controls = any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text(value))
    return require(1 <= len(value.encode()) <= 255 and not controls, value)


def realm(value):
    upper = re.sub('[a-z]', lambda letter: letter[0].upper(), text(value))
    if upper == 'DEFAULT':
        return 'GLOBAL'
    return require(upper not in NO_REALMS and re.fullmatch('[A-Z][A-Z0-9-]{1,15}', upper), upper)


def whole(value, least=0, most=10 ** 300):
    is_number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    return int(require(is_number and value == int(value) and least <= value <= most, value))


def url(value):
    return require(re.match('https?://[^/]', text(value), re.IGNORECASE), value)


def descriptor(value):
    require(isinstance(value, dict), value)
    read, regions = {}, {}
    take(value, read, 'baseUrl', url, 'descriptor.')
    take(value, read, 'version?', text, 'descriptor.')
    given = {} if value.get('regionBaseUrls') is None else require(isinstance(value['regionBaseUrls'], dict),
                                                                    value)['regionBaseUrls']
    for name, address in given.items():
        require(realm(name) != 'GLOBAL' and realm(name) not in regions, name)
        regions[realm(name)] = address if address is None else url(address)
    regions = {region: address for region, address in regions.items() if address is not None}
    if regions:
        read['regionBaseUrls'] = regions
    residency = value.get('dataResidency')
    if isinstance(residency, dict):
        residency = {name: residency[name] for name in ('realmPersistence', 'realmPersistenceDays') if name in residency}
        if residency:
            read['dataResidency'] = residency
    return read


def policy(value):
    read = {}
    take(require(isinstance(value, dict), value), read, 'mode', READERS['mode'], 'policy.')
    if read['mode'] == 'days':
        take(value, read, 'days', lambda days: whole(days, 1, 36500), 'policy.')
    if read['mode'] == 'subscription':
        take(value, read, 'graceDays', lambda days: whole(days, 0, 36500), 'policy.')
    return read


READERS = {
    'startTime': time, 'endTime': time, 'descriptor': descriptor, 'policy': policy,
    'id': key, 'clientKey': key, 'appKey': key, 'fromClientKey': key, 'fromAppKey': key, 'toClientKey': key, 'toAppKey': key,
    'migrationId': lambda value: key(value if isinstance(value, str) else str(whole(value))),
    'evidence': lambda value: require(1 <= len(text(value).encode()) <= 64, value),
    'action': lambda value: require(value in ('PIN', 'RELEASE', 'FORGET'), value),
    'state': lambda value: require(value in ('ACTIVE', 'INACTIVE'), value),
    'mode': lambda value: require(value in ('descriptor', 'off', 'days', 'indefinite', 'subscription'), value),
    'time': time, 'recordedAt': time,
    **{name: realm for name in ('endpointRealm', 'productRealm', 'targetRealm', 'sourceRealm', 'fromRealm', 'realm')}}


def take(source, event, field, read=None, path=''):
    """Moves one field to the event, read; one with a question mark may be absent."""
    name = field.rstrip('?')
    value = source.get(name)
    if value is None or (value == '' and name in COUNT_AS_ABSENT_IF_EMPTY):
        if name == field:
            raise Refused('missing-field', path + name)
        return
    try:
        event[name] = (read or READERS.get(name, text))(value)
    except ValueError:
        raise Refused('invalid-field', path + name) from None


def decode(line, clock):
    """The event of a line and its recorded time, or Refused; `clock` is the time of the import."""
    if len(line.encode()) > 1 << 20:
        raise Refused('too-large')
    try:
        source = json.loads(line, parse_float=Decimal)
    except ValueError:
        raise Refused('undecodable') from None
    event, recorded = Event(), {}
    take(source, event, 'type')
    if event.type not in TYPES:
        raise Refused('unsupported-type', 'type')
    level, carries = TYPES[event.type]
    for field in ['id', 'time', *KEYS[level], 'actor?', 'reason?', *carries]:
        take(source, event, field)
    take(source, recorded, 'recordedAt?')
    if event.action == 'PIN':
        take(source, event, 'realm')
    if event.evidence:
        side = 'from' if event.type == 'continued' else 'to'
        event.setdefault(side + 'AppKey', event.appKey)
        if (event[side + 'ClientKey'], event[side + 'AppKey']) == (event.clientKey, event.appKey):
            raise Refused('invalid-field', side + 'ClientKey')
        if event.evidence == 'operator' and None in (event.actor, event.reason):
            raise Refused('missing-field', 'reason' if event.actor else 'actor')
    if event.time > clock + DAY:
        raise Refused('time-in-future', 'time')
    if recorded.get('recordedAt', 0) > clock + DAY:
        raise Refused('time-in-future', 'recordedAt')
    return event, recorded.get('recordedAt', event.time)


def content(value):
    """Equal exactly when the content is: numbers by value, `true` is no number."""
    if isinstance(value, dict):
        return 'object', frozenset((name, content(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return 'list', tuple(content(inner) for inner in value)
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return 'number', Decimal(value)
    return type(value).__name__, value


class Ledger:
    """What an import records: `events` in arrival order, `rejected` as (line, reason, path), `duplicates`."""

    def __init__(self, lines, clock):
        self.events, self.rejected, self.duplicates = [], [], 0
        contents, lengths, floor = {}, {}, EARLIEST
        for number, line in enumerate(lines, 1):
            try:
                event, recorded = decode(line, clock)
                level = TYPES[event.type][0]
                subject = (level, *(event[name] for name in KEYS[level]))
                is_new = (subject, event.id) not in contents
                if contents.setdefault((subject, event.id), content(event)) != content(event):
                    raise Refused('event-id-conflict')
            except Refused as refused:
                self.rejected.append((number, refused.reason, refused.path))
                continue
            if not is_new:
                self.duplicates += 1
                continue  # nothing is recorded, so it has no recorded time either
            floor = max(floor, recorded)
            stream = (level == 'app', subject[1])
            lengths[stream] = lengths.get(stream, 0) + 1
            self.events.append(Event(event, seq=lengths[stream], recorded=floor, arrival=len(self.events)))

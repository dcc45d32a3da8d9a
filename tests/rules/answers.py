"""What the reference answers: states, previews (6.7) and what-if reports (8), in the words of the interfaces."""

from collections import defaultdict

from decode import DAY, Event, written
from reference import FOREVER, fold


def without_absent(fields, *times):
    """JSON: absent values are omitted, instants are written."""
    present = {name: value for name, value in fields.items() if value is not None}
    return {name: written(value) if name in times else value for name, value in present.items()}


def window_view(window, now):
    is_open, end = window['start'] <= now < window['end'], window['end'] if window['end'] != FOREVER else None
    return without_absent({**window, 'end': end, 'state': 'OPEN' if is_open else 'CLOSED',
                           'remainingMs': end - now if is_open and end else None}, 'start', 'end')


def migration_view(pending, due_by, now):
    return without_absent({
        'migrationId': pending.id, 'targetRealm': pending.target, 'phase': pending.phase, 'startTime': pending.start_time,
        'endTime': pending.end_time, 'dueBy': due_by, 'overdue': now > due_by}, 'startTime', 'endTime', 'dueBy')


def key_view(keys):
    return keys and without_absent(dict(zip(('clientKey', 'appKey', 'realm'), keys)))


def state(one, now):
    """A state as JSON, without `seq` and `asOf`."""
    def apart(realm, other):
        return one.status == 'INSTALLED' and None not in (realm, other) and realm != other

    return without_absent({
        'clientKey': one.client_key, 'appKey': one.app_key, 'status': one.status, 'enabled': one.enabled,
        'pinnedRealm': one.pinned, 'pinnedSince': one.since, 'pinnedBy': one.by, 'baseUrl': one.url(one.pinned),
        'productRealm': one.product, 'alignedRealm': one.aligned(), 'drift': apart(one.pinned, one.aligned()),
        'dataRealm': one.data, 'splitBrain': apart(one.pinned, one.data),
        'window': one.window and window_view(one.window, now),
        'migration': one.migration and migration_view(one.migration, one.due_by(), now),
        'predecessor': key_view(one.predecessor), 'successor': key_view(one.successor), 'override': one.override,
        'subscription': one.subscription, **one.ids, 'decision': one.decision and without_absent(one.decision, 'at'),
        'anomalies': [{'seq': seq, 'code': code} for seq, code in one.anomalies[-64:]] or None,
        'anomalyCount': len(one.anomalies)}, 'pinnedSince')


def installations(events):
    """Every (client key, app key) with an event of its own, in the order of the answers."""
    found = {(event.clientKey, event.appKey) for event in events if event.clientKey and event.appKey}
    return sorted(found, key=lambda keys: [key.encode() for key in keys])


def fold_all(events, at, what_if=None):
    streams = defaultdict(list)
    for event in events:
        streams[event.clientKey, None if event.clientKey else event.appKey].append(event)
    return [fold(streams[client_key, None] + streams[None, app_key], client_key, app_key, at, what_if)
            for client_key, app_key in installations(events)]


def states(events, at):
    """The states of all installations that exist at an instant, with the highest seq that is known of the tenant."""
    seqs = {event.clientKey: event.seq for event in events}
    return [{**state(one, at), 'seq': seqs[one.client_key], 'asOf': written(at)}
            for one in fold_all(events, at) if one.exists]


def preview(events, client_key, app_key, now, product=None):
    """The decision of an install at `now` with nothing observed."""
    one = fold(events, client_key, app_key, now)
    before, pinned = one.decision, one.pinned
    one.apply(Event(type='installed', time=now, appKey=app_key, clientKey=client_key, productRealm=product))
    if one.decision is not before:
        return without_absent(one.decision, 'at')
    return without_absent({'at': now, 'rule': 'REFRESH', 'expectedRealm': one.pinned, 'pinnedRealm': one.pinned,
                           'previousRealm': pinned, 'productRealm': one.product, 'moved': False, 'divergent': False}, 'at')


def what_if(events, policy, at):
    """The counts of section 8 for one policy over all installations."""
    found = [reinstall for one in fold_all(events, at, policy) for reinstall in one.reinstalls]
    moved = [1 for _, expected, previous, *_ in found if None not in (expected, previous) and expected != previous]
    report = {'policy': policy, 'reinstalls': len(found), 'moved': len(moved),
              'persisted': sum(rule == 'PERSISTED' for rule, *_ in found)}
    gaps = sorted(gap for *_, gap in found)
    if gaps:
        rank = {share: gaps[-(-len(gaps) * share // 100) - 1] for share in (50, 90, 99)}
        report['gaps'] = {
            **{f'p{share}Days': gap / DAY for share, gap in rank.items()}, 'maxDays': gaps[-1] / DAY,
            'shares': [{'days': days, 'share': sum(gap <= days * DAY for gap in gaps) / len(gaps)}
                       for days in (1, 7, 14, 30, 60, 90, 365)]}
    return report

"""The fold of rule set 2, sections 4 to 6 of the rules, written down row by row from the text alone.

Each question folds from zero. `row` names the row of the text that applied; `reached` counts rows and anomalies."""

from collections import Counter
from types import SimpleNamespace

from decode import DAY

MINUTE = 60 * 1000
FOREVER = float('inf')
COMMITTED, ROLLED_BACK = 'committed', 'rolled back'
ANOMALIES = """
    invalid-realm-persistence invalid-realm-persistence-days descriptor-unknown subscription-unknown endpoint-mismatch
    expectation-corrected stale-endpoint installation-id-changed install-not-seen uninstall-without-install
    uninstall-repeated uninstall-overtaken uninstall-of-another-installation endpoint-without-url enabled-not-installed
    migration-already-finished migration-not-installed migration-superseded migration-unscheduled
    migration-target-unknown migration-source-mismatch migration-abandoned migration-reverted migration-overdue
    continuation-replaced override-not-set override-without-url no-open-window""".split()
reached = Counter()


def differ(one, other):
    """Both known and different."""
    return one is not None and other is not None and one != other


def persistence(descriptor):
    """Section 4: days, or None for off, and the anomaly."""
    residency = descriptor.get('dataResidency', {})
    if residency.get('realmPersistence', False) is False:
        return None, None
    if residency['realmPersistence'] is not True:
        return None, 'invalid-realm-persistence'
    days = residency.get('realmPersistenceDays', 7)
    if not isinstance(days, (bool, str, list, dict, type(None))) and days == int(days) and 1 <= days <= 30:
        return int(days), None
    return 7, 'invalid-realm-persistence-days'


class Installation:
    """The state of one installation while its effective order is folded."""

    def __init__(self, client_key, app_key, what_if=None):
        self.client_key, self.app_key, self.exists = client_key, app_key, False
        self.status, self.enabled, self.ids, self.anomalies = 'NONE', False, {}, []
        self.pinned = self.since = self.by = self.window = self.migration = self.override = self.data = None
        self.subscription = self.predecessor = self.successor = self.decision = None
        # In force: D, the policy, and P.
        self.descriptor, self.policy, self.product = None, {'mode': 'descriptor'}, None
        # Not shown: the last known pinned realm, finished migrations, when it was only implied …
        self.last, self.finished, self.implied = None, [], None
        # … whether pin, last pinned realm and the decision's previous realm came from a `continued` …
        self.pin_continued = self.last_continued = self.previous_continued = False
        # … whether the known installation id was given at or after the last decision …
        self.id_is_recent = False
        # … and whether the `uninstalled` after a `superseded` is still to come.
        self.end_expected = False
        # What-if: the policy for all, the arrivals of uninstalls to skip, and the reinstalls found.
        self.what_if, self.skipped, self.ignored, self.reinstalls = what_if, set(), set(), []

    def apply(self, e):
        self.event, self.t = e, e.time
        self.product = e.productRealm or self.product
        if e.appKey not in (None, self.app_key):
            return  # an `installed` of another app counts for the product realm only
        self.descriptor, self.policy = e.descriptor or self.descriptor, e.policy or self.policy
        if e.type not in ('product-moved', 'policy-set', 'descriptor-published'):
            self.exists = True
            getattr(self, 'on_' + e.type.replace('-', '_'))(e)

    # Words of the text.

    def row(self, name):
        reached[name] += 1
        return name

    def anomaly(self, code):
        self.anomalies.append((self.event.seq, self.row(code)))

    def url(self, realm):
        urls = self.descriptor and {'GLOBAL': self.descriptor['baseUrl'], **self.descriptor.get('regionBaseUrls', {})}
        return urls and urls.get(realm)

    def lacks_url(self, realm):
        """D is known, the realm is a region, and D has no URL for it."""
        return self.descriptor is not None and realm is not None and self.url(realm) is None

    def aligned(self):
        if self.product is None or self.descriptor is None:
            return None
        return 'GLOBAL' if self.lacks_url(self.product) else self.product

    def continued_realm(self):
        """The realm of row 8a; None where the predecessor's is unknown."""
        realm = self.predecessor and self.predecessor[2]
        return self.aligned() if self.lacks_url(realm) else realm

    def pin(self, realm, by, continued=False):
        if realm != self.pinned:
            self.since = self.t
        self.pinned, self.by, self.pin_continued = realm, by, continued
        self.last, self.last_continued = realm, continued
        if self.migration:
            self.migration.arrived = False
            if self.migration.source is None and realm != self.migration.target:
                self.migration.source = realm

    def confirm(self):
        if self.by == 'EXPECTED' or (self.by == 'OVERRIDDEN' and self.override is None):
            self.by = 'OBSERVED'
            self.pin_continued = self.last_continued = False

    def correct(self, realm):
        self.anomaly('expectation-corrected')
        was, by, since = self.pinned, self.by, self.since
        self.pin(realm, 'OBSERVED')
        if by == 'EXPECTED':
            self.since = since
            if self.decision and self.decision['pinnedRealm'] == was:
                self.decide_again(observedRealm=realm, pinnedRealm=realm)

    def decide_again(self, **changed):
        decision = self.decision = {**self.decision, **changed}
        decision['moved'] = differ(decision['previousRealm'], decision['pinnedRealm'])
        decision['divergent'] = differ(decision['observedRealm'], decision['expectedRealm'])

    def due_by(self):
        """6.7, of the pending migration."""
        pending = self.migration
        if pending.end_time is not None:
            return pending.end_time
        started = pending.start_time if pending.phase == 'SCHEDULED' else None
        return DAY + (pending.since if started is None else started)

    def is_straggler(self, realm):
        """Row 4 of 6.1."""
        if self.migration and self.migration.arrived and realm == self.migration.source:
            return True
        commits = [done for done in self.finished if done.outcome == COMMITTED and differ(done.source, done.target)]
        if commits and commits[-1].source == realm and self.t - commits[-1].time < DAY:
            return True
        rollbacks = [done for done in self.finished if done.outcome == ROLLED_BACK and differ(done.target, self.pinned)]
        return bool(rollbacks) and rollbacks[-1].target == realm and self.t - rollbacks[-1].time < DAY

    # 6.1.

    def on_installed(self, e):
        observed = e.endpointRealm
        if self.lacks_url(observed):
            self.anomaly('endpoint-without-url')
        young = self.implied is not None and self.t - self.implied <= 5 * MINUTE and self.pinned is None
        if young:
            self.row('6.1 implied')
        if self.status != 'INSTALLED' or young:
            self.decide(*self.rule_and_expected('NONE' if young else self.status), observed, young)
        elif not self.refresh(e, observed if not self.what_if or self.pinned is None else None):
            self.anomaly('endpoint-mismatch')
            self.decide('IMPLICIT_REINSTALL', None, observed, False)
        self.ids.update({name: e[name] for name in ('installationId', 'entitlementId', 'siteUrl') if name in e})
        self.id_is_recent |= 'installationId' in e

    def refresh(self, e, observed):
        """Rows 1 to 6: False where it is row 6."""
        if observed is None or observed == self.pinned or self.pinned is None:
            self.row('6.1 row 1')
            expected = self.continued_realm() if self.predecessor and self.predecessor[2] else self.aligned()
            if self.pinned is None and observed is not None:
                self.row('6.1 row 1, observed')
                self.pin(observed, 'OBSERVED')
            elif self.pinned is None and expected is not None:
                self.row('6.1 row 1, expected')
                self.pin(expected, 'EXPECTED')
            elif observed is not None:
                self.confirm()
        elif self.override is not None:
            self.row('6.1 row 2')
            self.anomaly('endpoint-mismatch')
        elif self.migration and self.migration.target == observed:
            self.row('6.1 row 3')
            if self.t > self.due_by() + DAY:
                self.anomaly('migration-overdue')
            self.pin(observed, 'OBSERVED')
            self.migration.arrived = True
        elif self.is_straggler(observed):
            self.row('6.1 row 4')
            self.anomaly('stale-endpoint')
        elif self.by in ('EXPECTED', 'OVERRIDDEN'):
            self.row('6.1 row 5')
            self.correct(observed)
        else:
            self.row('6.1 row 6')
            return False
        if differ(self.ids.get('installationId'), e.installationId):
            self.anomaly('installation-id-changed')
        return True

    def rule_and_expected(self, status):
        """Rows 7 to 14."""
        if self.override is not None:
            return self.row('OVERRIDDEN'), self.override
        if status == 'NONE' and self.predecessor and self.predecessor[2]:
            return self.row('CONTINUED'), self.continued_realm()
        if status == 'NONE':
            return self.row('FRESH'), self.aligned()
        if self.pinned is None:
            return self.row('PRIOR_UNKNOWN'), self.aligned()
        if self.window and self.window['forgotten']:
            return self.row('WINDOW_FORGOTTEN'), self.aligned()
        if not self.window:
            return self.row('PERSISTENCE_OFF'), self.aligned()
        if self.t >= self.window['end']:
            return self.row('WINDOW_EXPIRED'), self.aligned()
        if self.lacks_url(self.pinned):
            return self.row('REALM_WITHDRAWN'), self.aligned()
        return self.row('PERSISTED'), self.pinned

    def decide(self, rule, expected, observed, young):
        previous, was_installed = self.last, self.status == 'INSTALLED' and not young
        if self.status == 'UNINSTALLED':
            self.reinstalls.append((rule, expected, previous, self.t, self.t - self.uninstalled_at))
        if self.migration and not young:
            self.abandon_migration()
        self.previous_continued = previous is not None and self.last_continued
        facts = [(observed, 'OBSERVED'), (expected, 'EXPECTED')]
        choices = [(self.override, 'OVERRIDDEN'), *(facts[::-1] if self.what_if else facts), (None, None)]
        realm, by = next(choice for choice in choices if choice[0] is not None or choice[1] is None)
        if realm is None:
            self.pinned = self.since = self.by = None
            self.pin_continued = False
        else:
            self.pin(realm, by)
            self.since = self.since if was_installed else self.t
        self.status, self.enabled, self.window, self.successor, self.implied = 'INSTALLED', True, None, None, None
        self.id_is_recent = False
        self.decision = {'seq': self.event.seq, 'at': self.t, 'rule': rule, 'expectedRealm': expected,
                         'observedRealm': observed, 'pinnedRealm': realm, 'previousRealm': previous,
                         'productRealm': self.product}
        self.decide_again()

    def abandon_migration(self):
        self.anomaly('migration-abandoned')
        self.migration = None

    # 6.2.

    def on_uninstalled(self, e):
        observed, decision = e.endpointRealm, self.decision
        if self.lacks_url(observed):
            self.anomaly('endpoint-without-url')
        end_was_expected, self.end_expected = self.end_expected, False
        if self.what_if and e.arrival in self.skipped:
            return
        if self.what_if and self.pinned is not None:
            observed = None
        if self.status == 'INSTALLED':
            asked = not self.what_if
            if asked and differ(e.installationId, self.ids.get('installationId')) and self.id_is_recent:
                self.anomaly('uninstall-of-another-installation')
                self.ignored.add(e.arrival)
            elif (asked and differ(observed, self.pinned) and decision and decision['moved']
                    and observed == decision['previousRealm'] and self.t - decision['at'] <= 5 * MINUTE):
                self.anomaly('uninstall-overtaken')
                self.ignored.add(e.arrival)
            else:
                self.observe_at_uninstall(observed)
                self.end()
        elif self.status == 'NONE':
            self.anomaly('uninstall-without-install')
            if observed is not None:
                self.pin(observed, 'OBSERVED')
            self.end()
        else:
            if end_was_expected:
                self.row('6.2 end expected')
            else:
                self.anomaly('uninstall-repeated')
            if self.pinned is None and observed is not None:
                self.row('6.2 repeated, pinned unknown')
                self.pin(observed, 'OBSERVED')

    def observe_at_uninstall(self, observed):
        if observed is None:
            self.row('6.2 nothing observed')
        elif self.pinned is None:
            self.row('6.2 pinned unknown')
            self.pin(observed, 'OBSERVED')
        elif observed == self.pinned:
            self.row('6.2 equal')
            self.confirm()
        elif self.migration and self.migration.target == observed:
            self.row('6.2 target')
            self.pin(observed, 'OBSERVED')
        elif self.override is not None:
            self.row('6.2 override')
            self.anomaly('endpoint-mismatch')
        elif self.is_straggler(observed):
            self.row('6.2 straggler')
            self.anomaly('stale-endpoint')
        elif self.by in ('EXPECTED', 'OVERRIDDEN'):
            self.row('6.2 corrected')
            self.correct(observed)
        else:
            self.row('6.2 mismatch')
            self.anomaly('endpoint-mismatch')

    def end(self):
        """What an uninstall at `t` does after its observation: the last sentence of the third row, and section 5."""
        u, policy = self.t, self.what_if or self.policy
        self.status, self.enabled, self.implied, self.uninstalled_at = 'UNINSTALLED', False, None, u
        if self.migration:
            self.abandon_migration()
        mode, end, code = policy['mode'], None, None
        self.row('policy ' + mode)
        if mode == 'descriptor':
            days, code = persistence(self.descriptor) if self.descriptor else (None, 'descriptor-unknown')
            end = days and u + days * DAY
        elif mode == 'days':
            end = u + policy['days'] * DAY
        elif mode == 'indefinite' or (mode == 'subscription' and self.subscription == 'ACTIVE'):
            end = FOREVER
        elif mode == 'subscription' and self.subscription == 'INACTIVE':
            self.row('policy subscription, INACTIVE')
            end = max(u, self.subscription_since + policy['graceDays'] * DAY)
        elif mode == 'subscription':
            end, code = FOREVER, 'subscription-unknown'
        if code:
            self.anomaly(code)
        self.window = end and {'policy': policy, 'start': u, 'end': end, 'forgotten': False}

    def window_is_open(self):
        return self.status == 'UNINSTALLED' and self.window and self.window['start'] <= self.t < self.window['end']

    # 6.3.

    def imply(self):
        """For an event that presupposes an installation."""
        if self.status == 'NONE':
            self.anomaly('install-not-seen')
            self.status, self.enabled, self.successor, self.implied = 'INSTALLED', True, None, self.t
            if self.override is not None:
                self.row('6.3 override')
                self.pin(self.override, 'OVERRIDDEN')

    def on_enabled(self, e):
        self.imply()
        self.enabled = self.status == 'INSTALLED'
        if not self.enabled:
            self.anomaly('enabled-not-installed')

    def on_disabled(self, e):
        self.imply()
        self.enabled = False

    # 6.4.

    def is_finished_or_not_installed(self, e, outcome=None):
        """The rows before those of each event; `outcome` is what the event would finish the migration with."""
        self.imply()
        done = next((done for done in self.finished if done.id is not None and done.id == e.migrationId), None)
        if done and (outcome == ROLLED_BACK and done.outcome == COMMITTED and self.pinned == done.target is not None
                     and self.status == 'INSTALLED' and self.override is None):
            self.row('6.4 reverted')
            self.revert(done.source, done)
            self.finished.remove(done)
            self.finish(e, ROLLED_BACK, done.source, done.target)
        elif done and outcome == done.outcome and e.targetRealm in (None, done.target):
            self.row('6.4 retried')
        elif done:
            self.anomaly('migration-already-finished')
        elif self.status == 'UNINSTALLED':
            self.anomaly('migration-not-installed')
        else:
            return False
        return True

    def finish(self, e, outcome, source, target, data_before=None):
        """One without id is remembered too, for row 4 of 6.1."""
        self.finished.append(SimpleNamespace(id=e.migrationId, outcome=outcome, source=source, target=target, time=self.t,
                                             data_before=data_before))

    def revert(self, source, commit=None):
        self.anomaly('migration-reverted')
        if source is not None:
            self.pin(source, 'MIGRATED')
        if commit and commit.data_before and self.data == commit.target:
            self.row('6.4 data as before')
            self.data = commit.data_before

    def pending_of(self, e):
        return self.migration if self.migration and self.migration.id == e.migrationId else None

    def become_pending(self, e, phase):
        if self.migration:
            self.anomaly('migration-superseded')
        self.migration = SimpleNamespace(id=e.migrationId, source=self.pinned, target=e.targetRealm, phase=phase,
                                         since=self.t, start_time=None, end_time=None, arrived=False)

    def replace_target(self, e):
        if e.targetRealm not in (None, self.migration.target):
            self.row('6.4 target replaced')
            self.migration.target, self.migration.arrived = e.targetRealm, False
            if self.migration.source is None and self.pinned != e.targetRealm:
                self.migration.source = self.pinned  # it is pinned, and other than the target from this moment on

    def on_migration_scheduled(self, e):
        if self.is_finished_or_not_installed(e):
            return
        if not self.pending_of(e):
            self.row('6.4 scheduled')
            self.become_pending(e, 'SCHEDULED')
        if self.migration.phase == 'STARTED':
            self.row('6.4 scheduled, started')
            return
        self.replace_target(e)
        self.migration.start_time = e.get('startTime', self.migration.start_time)
        self.migration.end_time = e.get('endTime', self.migration.end_time)

    def on_migration_started(self, e):
        if self.is_finished_or_not_installed(e):
            return
        if not self.pending_of(e):
            self.anomaly('migration-unscheduled')
            self.become_pending(e, 'STARTED')
        elif self.migration.phase == 'SCHEDULED':
            self.row('6.4 started')
            self.migration.phase, self.migration.since = 'STARTED', self.t
        self.replace_target(e)

    def on_migration_committed(self, e):
        if not self.is_finished_or_not_installed(e, COMMITTED):
            if not self.pending_of(e):
                self.anomaly('migration-unscheduled')
            self.commit(e)

    def on_migrated(self, e):
        if not self.is_finished_or_not_installed(e, COMMITTED):
            if differ(e.sourceRealm, self.pinned):
                self.anomaly('migration-source-mismatch')
            self.commit(e)

    def commit(self, e):
        pending, data_before = self.pending_of(e), None
        target = e.targetRealm or (pending and pending.target)
        source = (pending and pending.source) or self.pinned or e.sourceRealm
        if pending:
            self.row('6.4 committed')
            self.migration = None
        if target is None:
            self.anomaly('migration-target-unknown')
        else:
            self.pin(target, 'MIGRATED')
            self.override = None
            if self.data is not None:
                self.data, data_before = target, self.data if self.data != target else None
        self.finish(e, COMMITTED, source, target, data_before)

    def on_migration_rolled_back(self, e):
        if self.is_finished_or_not_installed(e, ROLLED_BACK):
            return
        pending = self.pending_of(e)
        if not pending:
            self.anomaly('migration-unscheduled')
            self.finish(e, ROLLED_BACK, None, None)
            return
        self.migration = None
        self.finish(e, ROLLED_BACK, pending.source, pending.target)
        if pending.arrived:
            self.row('6.4 rolled back, arrived')
            self.revert(pending.source)

    # 6.5.

    def on_override(self, e):
        if e.action == 'PIN':
            self.override = e.realm
            if self.lacks_url(e.realm):
                self.anomaly('override-without-url')
            if self.status == 'INSTALLED':
                self.pin(e.realm, 'OVERRIDDEN')
        elif e.action == 'RELEASE':
            if self.override is None:
                self.anomaly('override-not-set')
            self.override = None
        elif self.window_is_open():
            self.row('6.5 FORGET')
            self.window = {**self.window, 'end': self.t, 'forgotten': True}
        else:
            self.anomaly('no-open-window')

    def on_data_located(self, e):
        self.data = e.realm

    def on_subscription_observed(self, e):
        if self.subscription != e.state:
            self.subscription, self.subscription_since = e.state, self.t
        if self.window_is_open() and self.window['policy']['mode'] == 'subscription':
            if e.state == 'ACTIVE':
                self.row('section 5, ACTIVE')
                self.window = {**self.window, 'end': FOREVER}
            elif self.window['end'] == FOREVER:
                self.row('section 5, INACTIVE')
                self.window = {**self.window, 'end': self.t + self.window['policy']['graceDays'] * DAY}

    # 6.6.

    def on_continued(self, e):
        given, known, realm = (e.fromClientKey, e.fromAppKey, e.fromRealm), self.predecessor, e.fromRealm
        if known and known[:2] == given[:2] and realm in (None, known[2]):
            self.row('6.6 known already')
            return
        if known and known[:2] != given[:2]:
            self.anomaly('continuation-replaced')
        elif known:
            self.row('6.6 another realm')
        self.predecessor = given
        if realm is None:
            return
        may_replace_last = self.last is None or self.last_continued
        if self.decision and (self.decision['previousRealm'] is None or self.previous_continued):
            self.row('6.6 previous realm')
            self.previous_continued = True
            self.decide_again(previousRealm=realm)
        if self.status == 'INSTALLED' and self.implied is None and (self.pinned is None or self.pin_continued):
            if self.continued_realm() is not None:
                self.row('6.6 pinned')
                self.pin(self.continued_realm(), 'EXPECTED', continued=True)
        if may_replace_last:
            self.row('6.6 last realm')
            self.last, self.last_continued = realm, True

    def on_superseded(self, e):
        if self.status == 'INSTALLED':
            self.row('6.6 superseded')
            self.end()
        self.successor, self.end_expected = (e.toClientKey, e.toAppKey), True


def effective_order(events, client_key, app_key, at):
    """Section 2.2, up to `at`: by time; then app-level events first, by id; the others by arrival."""
    def belongs(e):
        another_app = e.appKey not in (None, app_key)
        return e.clientKey in (None, client_key) and (not another_app or (e.clientKey and e.productRealm))

    def place(e):
        return (e.time, 1, e.arrival) if e.clientKey else (e.time, 0, e.id.encode())

    return sorted((e for e in events if e.time <= at and belongs(e)), key=place)


def fold(events, client_key, app_key, at, what_if=None):
    """The installation as of `at`, from the events that are known; `what_if` is a policy for all (section 8)."""
    installation = Installation(client_key, app_key, what_if)
    if what_if:
        installation.skipped = fold(events, client_key, app_key, at).ignored
    for event in effective_order(events, client_key, app_key, at):
        installation.apply(event)
    return installation

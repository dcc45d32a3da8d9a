//! Backups: of a data directory at rest, and of the one that a server holds open. The metrics of the last one.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger_api::backup::{BackupAnswer, BackupOrder, BackupRefusal, MakeBackup};
use ledger_store::{
    BackupError, BackupProgress, BackupReport, Catalog, DataDir, Reader, ShardId, back_up, last_generation,
    prune, with_causes,
};
use metrics::{Unit, describe_gauge, gauge};
use tracing::{info, warn};

use crate::command::now;
use crate::config::Config;

const AGE_SECONDS: &str = "realm_ledger_backup_age_seconds";
const GENERATIONS: &str = "realm_ledger_backup_generations";

/// Describes each metric to the exporter; once, at start.
pub(crate) fn describe() {
    describe_gauge!(
        AGE_SECONDS,
        Unit::Seconds,
        "Since the last whole generation in backup.dir was begun; NaN: there is none, or it does not read."
    );
    describe_gauge!(GENERATIONS, "Generations in backup.dir.");
}

/// Makes a generation, and removes old ones if that is asked for.
pub(crate) fn make(
    data: &DataDir,
    open: &dyn Fn(&ShardId) -> Option<Reader>,
    dir: &Path,
    keep: Option<NonZeroUsize>,
    keys_dir: &Path,
    progress: BackupProgress<'_>,
) -> Result<BackupAnswer, BackupError> {
    let BackupReport { generation, copied_bytes, .. } = back_up(data, open, dir, now(), progress)?;
    let shown = |path: &Path| path.display().to_string();
    let answer = BackupAnswer::new(&generation, shown(dir), shown(keys_dir));
    let mut answer = BackupAnswer { copied_bytes, ..answer };
    if let Some(keep) = keep {
        // What was made stays, whoever follows.
        let pruned = prune(dir, keep, &mut |_, _| ControlFlow::Continue(()))?;
        (answer.removed, answer.unread) = (pruned.removed, pruned.unread);
    }
    Ok(answer)
}

/// Makes backups of what a server has open.
pub(crate) struct ServerBackups {
    data: Arc<DataDir>,
    catalog: Arc<Catalog>,
    dir: PathBuf,
    keys_dir: PathBuf,
}

impl ServerBackups {
    /// None where the configuration has no directory for them.
    pub(crate) fn new(config: &Config, data: &Arc<DataDir>, catalog: &Arc<Catalog>) -> Option<Arc<Self>> {
        let dir = config.backup_dir.clone()?;
        let (data, catalog) = (Arc::clone(data), Arc::clone(catalog));
        Some(Arc::new(Self { data, catalog, dir, keys_dir: config.keys_dir() }))
    }

    /// Reports the age of the last generation.
    pub(crate) fn report_age(&self) {
        let (age, generations) = match last_generation(&self.dir) {
            Ok(Some(last)) => (seconds(now().millis_since(last.made)), last.generations),
            Ok(None) => (f64::NAN, 0),
            Err(error) => {
                warn!(error = with_causes(&error), dir = %self.dir.display(), "the last backup does not read");
                (f64::NAN, 0)
            }
        };
        gauge!(AGE_SECONDS).set(age);
        gauge!(GENERATIONS).set(f64::from(u32::try_from(generations).unwrap_or(u32::MAX)));
    }
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 milliseconds need not be exact")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

impl MakeBackup for ServerBackups {
    fn make(&self, order: BackupOrder, progress: BackupProgress<'_>) -> Result<BackupAnswer, BackupRefusal> {
        let open = |id: &ShardId| self.catalog.get(id).map(|served| served.reader);
        match make(&self.data, &open, &self.dir, order.keep, &self.keys_dir, progress) {
            Ok(made) => {
                let BackupAnswer { generation, bytes, copied_bytes, .. } = &made;
                info!(dir = %self.dir.display(), generation, bytes, copied_bytes, "made a backup");
                Ok(made)
            }
            Err(BackupError::Stopped) => Err(BackupRefusal::Stopped),
            Err(error @ BackupError::LostLines { .. }) => Err(BackupRefusal::Differs(error.to_string())),
            Err(error @ BackupError::Busy { .. }) => Err(BackupRefusal::Busy(error.to_string())),
            Err(error) => Err(BackupRefusal::Failed(with_causes(&error))),
        }
    }
}

//! `POST /v1/backups`: the server makes a backup, line by line.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use tokio::sync::mpsc;

use super::ask::AnswerForm;
use super::gate::{ActionSubject, Caller};
use super::places::Cost;
use super::scan::LineSender;
use super::stream::respond;
use super::{Api, body, routes};
use crate::access::Grants;
use crate::action::BACKUP;
use crate::backup::{BackupLine, BackupOrder, BackupRefusal, BytesDone, MakeBackup};
use crate::limits::STREAM_CHUNKS_AHEAD;
use crate::problem::ProblemKind;
use crate::query::Problem;

pub(super) async fn make(
    State(api): State<Api>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    sent: Body,
) -> Result<Response, Problem> {
    routes::refuse_parameters(&uri)?;
    body::check_json(&headers)?;
    let sent = body::read(sent).await?;
    let order = if sent.is_empty() {
        BackupOrder::default()
    } else {
        body::parse(&sent, r#"nothing, or {"keep": 7}"#)?
    };
    let is_granted = |grants: &Grants| grants.apps().is_none();
    let may_make = caller.is_granted(is_granted);
    let make = async move |api: Api| {
        if !may_make {
            let detail = "a backup is of all apps, and these credentials have a grant of some";
            return Err(Problem::new(ProblemKind::NotFound, detail));
        }
        let backups = api.backups.clone().ok_or(BackupRefusal::NotConfigured)?;
        api.back_up(order, backups).await
    };
    Ok(api.act_for(&caller, &BACKUP, ActionSubject::default(), is_granted, make).await)
}

impl Api {
    /// What goes wrong before the first line is answered as a problem. A backup that nobody follows any more ends.
    async fn back_up(&self, order: BackupOrder, backups: Arc<dyn MakeBackup>) -> Result<Response, Problem> {
        let place = self.places.take(Cost::Everything)?;
        let (queue, lines) = mpsc::channel(STREAM_CHUNKS_AHEAD);
        let sender = LineSender::new(queue, self.places.clone(), AnswerForm::Json);
        tokio::task::spawn_blocking(move || {
            let made = backups.make(order, &mut |bytes, total| {
                sender.send(&BackupLine::Progress(BytesDone { bytes, total }), true)
            });
            drop(place);
            let sent = match made {
                Ok(answer) => {
                    // The generation is there, whether or not its client is.
                    let _: ControlFlow<()> = sender.send(&BackupLine::Backup(answer), false);
                    Ok(())
                }
                Err(refusal) => Err(sender.stopping().unwrap_or_else(|| refusal.into())),
            };
            sender.end(sent);
        });
        self.first_of(lines).await.map(respond)
    }
}

impl From<BackupRefusal> for Problem {
    fn from(refusal: BackupRefusal) -> Self {
        match refusal {
            BackupRefusal::NotConfigured => Self::new(
                ProblemKind::NoBackupDir,
                "the server has no backup.dir; set it, or back up the data directory while no server runs on it",
            ),
            BackupRefusal::Busy(detail) => Self::new(ProblemKind::BackupRunning, detail),
            BackupRefusal::Differs(detail) => {
                tracing::error!(error = detail, "no backup was made");
                Self::new(ProblemKind::BackupDiffers, detail)
            }
            BackupRefusal::Stopped => {
                Self::new(ProblemKind::Stopping, "the backup was given up; nothing of it counts")
            }
            BackupRefusal::Failed(detail) => {
                tracing::error!(error = detail, "a backup failed");
                Self::new(ProblemKind::BackupFailed, detail)
            }
        }
    }
}

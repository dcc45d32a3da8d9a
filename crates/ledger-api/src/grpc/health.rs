//! `grpc.health.v1`: the process, and each shard as `shard/<topic>/<partition>`, by the same bounds as `/readyz`.
//!
//! It is read when it is asked for. A client that watches has it read every second; there are places for
//! [`HEALTH_WATCHES_MAX`](crate::limits::HEALTH_WATCHES_MAX) of these, apart from those of questions.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::status::status;
use crate::http::Api;
use crate::problem::ProblemKind;
use crate::proto::SERVICE;
use crate::query::Problem;

const READ_INTERVAL: Duration = Duration::from_secs(1);

/// The health of an interface and of the shards behind it.
#[derive(Debug, Clone)]
pub(super) struct Health {
    api: Api,
}

impl Health {
    pub(super) const fn new(api: Api) -> Self {
        Self { api }
    }

    /// None: there is no such service.
    async fn read(&self, service: &str) -> Result<Option<ServingStatus>, Problem> {
        let readiness = self.api.readiness().await?;
        let is_ready = match service.strip_prefix("shard/") {
            Some(shard) => readiness.shard(shard),
            None => Some(readiness.is_ready()).filter(|_| matches!(service, "" | SERVICE)),
        };
        let status = |is_ready| if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        Ok(is_ready.map(status))
    }

    /// Reports what changes, until the client goes or the server stops.
    async fn report(self, service: String, queue: mpsc::Sender<Result<HealthCheckResponse, Status>>) {
        let mut last = None;
        loop {
            let read = match self.api.check_open() {
                Ok(()) => self.read(&service).await,
                Err(problem) => Err(problem),
            };
            let now = match read {
                Ok(now) => now.unwrap_or(ServingStatus::ServiceUnknown),
                Err(problem) => {
                    let _ = queue.send(Err(status(&problem))).await;
                    return;
                }
            };
            if last.replace(now) != Some(now) && queue.send(Ok(answer(now))).await.is_err() {
                return;
            }
            tokio::select! {
                () = queue.closed() => return,
                () = tokio::time::sleep(READ_INTERVAL) => {}
            }
        }
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        let read = self.read(&service).await.map_err(|problem| status(&problem))?;
        let unknown = || {
            let detail =
                format!("{service} is neither empty, {SERVICE}, nor shard/<topic>/<partition> of one here");
            status(&Problem::new(ProblemKind::NotFound, detail))
        };
        Ok(Response::new(answer(read.ok_or_else(unknown)?)))
    }

    type WatchStream = HealthChanges;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthChanges>, Status> {
        let place = self.api.place_of_a_watch().map_err(|problem| status(&problem))?;
        let (queue, changes) = mpsc::channel(1);
        let (health, service) = (self.clone(), request.into_inner().service);
        tokio::spawn(async move {
            let _place = place;
            health.report(service, queue).await;
        });
        Ok(Response::new(HealthChanges(changes)))
    }
}

/// What changes, as it does.
#[derive(Debug)]
pub(super) struct HealthChanges(mpsc::Receiver<Result<HealthCheckResponse, Status>>);

impl Stream for HealthChanges {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

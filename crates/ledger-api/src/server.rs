//! All doors on one listener.

use std::future::Future;
use std::io;

use axum::Router;
use tokio::net::TcpListener;

use crate::grpc;
use crate::http::{self, Api};

/// All routes, of HTTP and of gRPC.
pub fn router(api: Api) -> Router {
    let methods = grpc::methods(api.clone());
    grpc::with_statuses(api.router(methods))
}

/// Serves until `shutdown` completes and the open requests are answered, or [`DRAIN`](crate::limits::DRAIN) is over.
pub async fn serve(listener: TcpListener, api: Api, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    http::serve(listener, &api, router(api.clone()), shutdown).await
}

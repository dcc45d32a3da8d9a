//! Calls over gRPC, made with a foreign library of HTTP/2 and messages by reflection.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;

use h2::client;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use serde_json::Value;
use tokio::net::TcpStream;
use tonic_types::pb;

use crate::http::Server;

pub(crate) const SERVICE: &str = "realmledger.v1.LedgerService";

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) status: i32,
    pub(crate) message: String,
    pub(crate) details: Option<pb::Status>,
}

pub(crate) fn pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
        let files = protox::compile([root.join("realmledger/v1/ledger.proto")], [root]).unwrap();
        DescriptorPool::from_file_descriptor_set(files).unwrap()
    });
    &POOL
}

pub(crate) fn methods() -> impl Iterator<Item = MethodDescriptor> {
    let service = pool().get_service_by_name(SERVICE).unwrap();
    service.methods().collect::<Vec<_>>().into_iter()
}

pub(crate) fn method(name: &str) -> MethodDescriptor {
    methods().find(|method| method.name() == name).unwrap()
}

/// The message that this JSON is, as the library for protobuf reads it.
pub(crate) fn encoded(of: &MessageDescriptor, json: &Value) -> Vec<u8> {
    DynamicMessage::deserialize(of.clone(), json).unwrap().encode_to_vec()
}

pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

impl Server {
    /// Calls a method of the service with this message.
    pub(crate) fn call(&self, name: &str, message: &Value) -> Reply {
        let input = encoded(&method(name).input(), message);
        self.call_with(&format!("/{SERVICE}/{name}"), framed(&input), &[])
    }

    pub(crate) fn call_with(&self, path: &str, body: Vec<u8>, headers: &[(&'static str, &str)]) -> Reply {
        self.runtime().block_on(call(self.address(), path, body, headers))
    }
}

impl Reply {
    /// The reason and the parameter that the details name.
    pub(crate) fn reason(&self) -> (String, Option<String>) {
        let details = self.details.as_ref().unwrap();
        let info = details.details.iter().find(|any| any.type_url.ends_with("google.rpc.ErrorInfo")).unwrap();
        let info = pb::ErrorInfo::decode(&*info.value).unwrap();
        assert_eq!((details.code, &details.message), (self.status, &self.message));
        assert_eq!(info.domain, "realm-ledger");
        (info.reason, info.metadata.get("parameter").cloned())
    }

    pub(crate) fn is_worth_another_try(&self) -> bool {
        let details = self.details.iter().flat_map(|status| &status.details);
        details.into_iter().any(|any| any.type_url.ends_with("google.rpc.RetryInfo"))
    }
}

pub(crate) async fn call(
    address: SocketAddr,
    path: &str,
    body: Vec<u8>,
    headers: &[(&'static str, &str)],
) -> Reply {
    call_and_tell(address, path, body, headers, || {}).await
}

/// Likewise, and tells when a part of the answer has come.
pub(crate) async fn call_and_tell(
    address: SocketAddr,
    path: &str,
    body: Vec<u8>,
    headers: &[(&'static str, &str)],
    mut came: impl FnMut(),
) -> Reply {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = ureq::http::Request::post(format!("http://{address}{path}"));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let (answer, mut sending) = client.send_request(request.body(()).unwrap(), false).unwrap();
    // A refusal may come first: the stream is over then.
    let _ = sending.send_data(body.into(), true);
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    let (head, mut body) = answer.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
        came();
    }
    let trailers = body.trailers().await.unwrap().unwrap_or(head.headers);
    let status = tonic::Status::from_header_map(&trailers).unwrap();
    let details = Some(status.details()).filter(|details| !details.is_empty());
    Reply {
        messages: messages(&bytes),
        status: status.code() as i32,
        message: status.message().to_owned(),
        details: details.map(|details| pb::Status::decode(details).unwrap()),
    }
}

fn messages(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some((frame, rest)) = bytes.split_first_chunk::<5>() {
        let [0, length @ ..] = *frame else { panic!("compressed") };
        let (message, rest) = rest.split_at(u32::from_be_bytes(length) as usize);
        messages.push(message.to_vec());
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame");
    messages
}

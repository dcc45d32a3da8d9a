//! Spans of decisions, sent by OTLP over HTTP where `telemetry.otlp` names a collector.
//!
//! A span begins when its message was taken and ends when its decision is published; its parent is the span that the message
//! names. OpenTelemetry's own exporter makes and batches them on a thread of its own; a collector that does not answer costs
//! spans, and nothing else.

use std::collections::HashMap;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ledger_ingest::traces::{DecisionSpans, TracedDecision, install};
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::{info, warn};

use crate::Failure;

const NAME: &str = "realm-ledger";
const TRACEPARENT: &str = "traceparent";

/// A collector is beside the process; one that takes longer is as good as away.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends spans until it is stopped.
#[derive(Debug)]
pub(crate) struct Spans {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
}

impl Spans {
    /// Sends the spans of this process to a collector from now on.
    pub(crate) fn start(collector: &str) -> Result<Arc<Self>, Failure> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", collector.trim_end_matches('/')))
            .with_timeout(TIMEOUT)
            .build();
        let exporter = exporter.map_err(|error| {
            Failure::caused(format!("telemetry.otlp {collector:?} cannot be sent to"), error)
                .hint("expected the address of a collector, such as \"http://localhost:4318\"")
        })?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder().with_service_name(NAME).with_attribute(version).build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let (tracer, propagator) = (provider.tracer(NAME), TraceContextPropagator::new());
        let spans = Arc::new(Self { provider, tracer, propagator });
        install(Arc::clone(&spans) as Arc<dyn DecisionSpans>);
        Ok(spans)
    }

    /// Sends what is left, as far as there is time.
    pub(crate) fn stop_by(&self, deadline: Instant) {
        // What could not be sent was warned about.
        let _ = self.provider.shutdown_with_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

impl DecisionSpans for Spans {
    fn decided(&self, traceparent: &str, decision: &TracedDecision<'_>) -> Option<String> {
        let parent = self.propagator.extract_with_context(&Context::new(), &OneHeader(traceparent));
        if !parent.span().span_context().is_valid() {
            return None;
        }
        let TracedDecision { shard, record, taken } = decision;
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let attributes = [
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.destination.name", shard.topic.clone()),
            KeyValue::new("messaging.destination.partition.id", shard.partition.to_string()),
            KeyValue::new("messaging.kafka.offset", number(record.source.offset)),
            KeyValue::new("realm_ledger.position", number(record.position)),
        ];
        let span = self.tracer.span_builder("decide").with_kind(SpanKind::Consumer);
        let span = span.with_start_time(*taken).with_attributes(attributes);
        let context = parent.with_span(self.tracer.build_with_context(span, &parent));
        let mut headers = HashMap::new();
        self.propagator.inject_context(&context, &mut headers);
        context.span().end();
        headers.remove(TRACEPARENT)
    }
}

/// The only header that is looked at.
struct OneHeader<'h>(&'h str);

impl Extractor for OneHeader<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

/// Sends batches by the HTTP client that the program has already, on the thread of the exporter.
#[derive(Debug)]
struct Collector {
    agent: ureq::Agent,
    is_failing: AtomicBool,
}

impl Collector {
    fn new() -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
        Self { agent: config.build().into(), is_failing: AtomicBool::new(false) }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let mut answer = self.agent.run(Request::from_parts(head, body.to_vec()))?;
        let text = answer.body_mut().read_to_vec()?;
        let (head, _) = answer.into_parts();
        Ok(Response::from_parts(head, text.into()))
    }

    /// Warns once: the operator is to look at the collector, and hears when it is back.
    fn report(&self, sent: &Result<Response<Bytes>, HttpError>) {
        let failed = match sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        let was_failing = self.is_failing.swap(failed.is_some(), Ordering::Relaxed);
        match failed {
            Some(reason) if !was_failing => warn!(reason, "spans cannot be sent to telemetry.otlp"),
            None if was_failing => info!("spans are sent again"),
            _ => {}
        }
    }
}

/// Written out, as the trait has it: its answer is there at once.
impl HttpClient for Collector {
    fn send_bytes<'c, 'sent>(
        &'c self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sent>>
    where
        'c: 'sent,
        Self: 'sent,
    {
        let sent = self.send(request);
        self.report(&sent);
        Box::pin(ready(sent))
    }
}

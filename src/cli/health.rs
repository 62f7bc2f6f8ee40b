//! `/metrics`, `/healthz` and `/readyz` for the operator's monitoring. No personal data in any of them.

use axum::{Router, http::StatusCode, routing::get};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::{io, sync::Arc};
use tokio::net::TcpListener;

/// Seconds; from a small message on one connection to a scan at its limit.
const BUCKETS: [f64; 12] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// Installs the recorder for this process. Once.
pub fn recorder() -> Result<PrometheusHandle, String> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)
        .map_err(|error| error.to_string())?;
    let handle = builder.install_recorder().map_err(|error| error.to_string())?;
    metrics::describe_counter!("outgate_messages_total", "messages by what became of them and by door");
    metrics::describe_histogram!("outgate_scan_seconds", "time to scan one message");
    metrics::describe_histogram!("outgate_relay_seconds", "time from the verdict to the next hop's final reply");
    metrics::describe_gauge!("outgate_next_hop_up", "1 when the last session with this address could be opened");
    metrics::describe_counter!("outgate_relay_failures_total", "failures towards the next hop by step and kind");
    metrics::describe_gauge!("outgate_holds", "cases waiting for a person");
    metrics::describe_gauge!(
        "outgate_holds_overdue",
        "expired cases that do not go back by the clock: a person must decide"
    );
    metrics::describe_gauge!("outgate_outbox_items", "items in the outbox");
    metrics::describe_gauge!("outgate_ready", "1 when mail is accepted");
    Ok(handle)
}

/// What readiness is asked of.
pub trait Ready: Send + Sync + 'static {
    /// None when mail is accepted, else why not, without personal data.
    fn unready(&self) -> Option<&'static str>;

    /// The next hops, one line each: mail is accepted whether or not they can be used, since what is held or returned
    /// needs none.
    fn next_hops(&self) -> String;
}

/// Serves until `stop` ends.
pub async fn serve<R: Ready>(
    listener: TcpListener,
    handle: PrometheusHandle,
    ready: Arc<R>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route(
            "/readyz",
            get(move || {
                let (state, next_hops) = (ready.unready(), ready.next_hops());
                async move {
                    match state {
                        None => (StatusCode::OK, format!("ready\n{next_hops}")),
                        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
                    }
                }
            }),
        )
        .route("/metrics", get(move || std::future::ready(handle.render())));
    axum::serve(listener, routes).with_graceful_shutdown(stop).await
}

//! Health and metrics over HTTP, and the health check that asks for them.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::telemetry::Telemetry;

/// Serves `/healthz` (the process is alive), `/readyz` (it consumes, or could as a standby),
/// `/startedz` (it was ready once) and `/metrics`, until the future is dropped.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, telemetry: Telemetry) -> io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(readiness))
        .route("/startedz", get(startup))
        .route("/metrics", get(metrics))
        .with_state(telemetry);
    axum::serve(listener, router).await
}

async fn readiness(State(telemetry): State<Telemetry>) -> (StatusCode, String) {
    answer("ready", &telemetry.not_ready())
}

async fn startup(State(telemetry): State<Telemetry>) -> (StatusCode, String) {
    answer("started", &telemetry.not_started())
}

fn answer(success: &str, waits: &[String]) -> (StatusCode, String) {
    if waits.is_empty() {
        (StatusCode::OK, format!("{success}\n"))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, waits.join("\n") + "\n")
    }
}

async fn metrics(State(telemetry): State<Telemetry>) -> impl IntoResponse {
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, openmetrics)], telemetry.metrics())
}

/// Requests `path` from the consumer that serves at `address`; a wildcard address means this host.
/// Waits for at most two seconds.
///
/// # Errors
/// What the consumer is waiting for, or why it did not answer.
pub fn healthcheck(address: SocketAddr, path: &str) -> Result<(), String> {
    let time_limit = Duration::from_secs(2);
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&reachable(address), time_limit)?;
        stream.set_read_timeout(Some(time_limit))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        Ok(response)
    };
    let response = ask().map_err(|error| format!("{address} does not answer: {error}"))?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    match head.split_whitespace().nth(1) {
        Some("200") => Ok(()),
        _ => Err(body.trim_end().to_owned()),
    }
}

fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

//! stock-consumer: averages the trades of RabbitMQ queues in windows, and stores the averages in MongoDB,
//! each trade exactly once.
//!
//! The way of a trade through the modules:
//!
//! 1. [`config`] says which queues, and where.
//! 2. [`broker`] takes deliveries from the queue, in groups.
//! 3. [`trade`] reads a delivery's body, or names the rule that it breaks. Invalid trades move to the
//!    queue of rejected messages.
//! 4. [`line`] decides what becomes of it: [`ledger`] tells whether it has been counted before,
//!    [`window`] collects trades and averages each full window.
//! 5. [`store`] writes windows to the database, in order, as [`document`]s.
//! 6. [`consumer`] does what the line decides, and acknowledges a window's trades once it is stored.
//!
//! [`command_line`] starts and ends it, [`retention`] removes windows that are too old, [`tls`] explains
//! why broker or database do not let it in. Beside them, [`telemetry`] and [`http`] show what happens, and
//! [`audit`] proves from the database that it happened exactly once. [`trade`], [`line`],
//! [`ledger`] and [`window`] know neither broker nor database.

pub mod audit;
mod backoff;
pub mod broker;
pub mod command_line;
pub mod config;
pub mod connections;
pub mod consumer;
pub mod delivery;
pub mod document;
pub mod http;
pub mod intake;
pub mod ledger;
pub mod line;
mod retention;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod trade;
pub mod window;

use std::io;

use config::Config;
use shutdown::Shutdown;
use telemetry::Telemetry;

/// Why a consumer cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("HTTP_ADDRESS {address} cannot be listened on: {error}")]
    Listen {
        address: std::net::SocketAddr,
        error: io::Error,
    },
}

/// Runs a consumer until shutdown is requested: the whole program but for its command line.
///
/// # Errors
/// Only at the start. Later it waits until broker and database work again.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), StartError> {
    let address = config.http.address;
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|error| StartError::Listen { address, error })?;
    let telemetry = Telemetry::new();
    let queues: Vec<&str> = config.queues.iter().map(|queue| &*queue.name).collect();
    tracing::info!(queues = queues.join(","), batch_size = config.batch_size, %address, "started");
    tokio::select! {
        () = consumer::consume(&config, &telemetry, &shutdown) => {}
        outcome = http::serve(listener, telemetry.clone()) => {
            // It serves until it is dropped.
            outcome.map_err(|error| StartError::Listen { address, error })?;
        }
    }
    Ok(())
}

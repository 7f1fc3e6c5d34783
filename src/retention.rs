//! Removes the windows that are older than the operator wants to keep them.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use crate::config::Config;
use crate::store::{STEP, Store};
use crate::telemetry::Telemetry;

/// The time from one look for old windows to the next.
const INTERVAL: Duration = Duration::from_secs(60);

/// The pause between the steps that remove a large number of them, so that others get to the database.
const PAUSE: Duration = Duration::from_millis(500);

/// Removes windows of the configured queue as they become too old; does not end. A hot standby may do the
/// same at the same time.
pub async fn retain(config: &Config, store: &Store, telemetry: &Telemetry) {
    let Some(retention) = config.retention else {
        return std::future::pending().await;
    };
    let mut trouble = None;
    loop {
        let removed = match store.remove_old(&config.broker.queue, retention).await {
            Ok(removed) => {
                trouble = None;
                removed
            }
            Err(error) => {
                let reason = error.to_string();
                if trouble.as_ref() != Some(&reason) {
                    warn!(reason, "old windows cannot be removed: trying every minute");
                }
                trouble = Some(reason);
                0
            }
        };
        if removed > 0 {
            info!(windows = removed, "removed windows older than RETENTION");
            telemetry.windows_removed(removed);
        }
        sleep(if removed == STEP { PAUSE } else { INTERVAL }).await;
    }
}

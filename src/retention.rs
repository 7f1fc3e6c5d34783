//! Removes the windows that are older than the operator wants to keep them.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use crate::config::Config;
use crate::store::{STEP, Store};
use crate::telemetry::QueueTelemetry;

/// The time from one look for old windows to the next.
const INTERVAL: Duration = Duration::from_secs(60);

/// The pause between the steps that remove a large number of them, so that others get to the database.
const PAUSE: Duration = Duration::from_millis(500);

/// Removes windows of all configured queues as they become too old; does not end. A hot standby may do the
/// same at the same time.
pub async fn retain(config: &Config, store: &Store, queues: &[QueueTelemetry]) {
    let Some(retention) = config.retention else {
        return std::future::pending().await;
    };
    let mut troubles = BTreeSet::new();
    loop {
        let known = std::mem::take(&mut troubles);
        let mut is_done = true;
        for telemetry in queues {
            let queue = telemetry.name();
            let removed = match store.remove_old(queue, retention).await {
                Ok(removed) => removed,
                Err(error) => {
                    let reason = error.to_string();
                    if troubles.insert(reason.clone()) && !known.contains(&reason) {
                        warn!(
                            queue,
                            reason, "old windows cannot be removed: trying every minute"
                        );
                    }
                    continue;
                }
            };
            if removed > 0 {
                info!(
                    queue,
                    windows = removed,
                    "removed windows older than RETENTION"
                );
                telemetry.windows_removed(removed);
            }
            is_done &= removed < STEP;
        }
        sleep(if is_done { INTERVAL } else { PAUSE }).await;
    }
}

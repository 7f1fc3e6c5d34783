//! Exponential backoff.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Pauses that double from 50 ms to 1 s, for ever. Each is lengthened by a random part of itself, so
/// that many consumers do not return to a server at the same moment.
#[derive(Debug)]
pub struct Backoff(ExponentialBackoff);

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(Duration::from_secs(1))
    }
}

impl Backoff {
    /// With another longest pause.
    pub fn up_to(longest: Duration) -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(longest)
            .with_jitter()
            .without_max_times();
        Self(pauses.build())
    }

    /// Sleeps for the next pause.
    pub async fn pause(&mut self) {
        tokio::time::sleep(self.next()).await;
    }

    /// The next pause.
    pub fn next(&mut self) -> Duration {
        self.0.next().unwrap_or_default()
    }
}

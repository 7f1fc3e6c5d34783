//! Exponential backoff.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// Pauses that double from 50 ms to 1 s. Each varies by up to a quarter, so that many consumers do not
/// return to a server at the same moment.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Backoff {
    /// Sleeps for the next pause.
    pub async fn pause(&mut self) {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        tokio::time::sleep(pause.mul_f64(0.75 + 0.5 * jitter())).await;
    }
}

/// A number from 0 to 1 that differs between processes, from the clock's low digits.
fn jitter() -> f64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    f64::from(now.subsec_micros() % 1000) / 1000.0
}

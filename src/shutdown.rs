//! Telling every part that it is time to end.

use tokio::sync::watch;

/// Learns when to end. Clones learn it together.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// A shutdown that is requested when `trigger` completes.
    pub fn when(trigger: impl Future<Output = ()> + Send + 'static) -> Self {
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            trigger.await;
            sender.send_replace(true);
            // Kept until everybody knows.
            sender.closed().await;
        });
        Self(receiver)
    }

    /// Waits until the end is requested; returns at once when it has been.
    pub async fn requested(&self) {
        // An error would mean that the trigger was lost: end then, too.
        let _ = self.0.clone().wait_for(|&requested| requested).await;
    }

    /// What a future gives; none, and the future is dropped, when the end is requested first.
    pub async fn or<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            () = self.requested() => None,
            value = future => Some(value),
        }
    }
}

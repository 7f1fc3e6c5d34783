//! Shutdown: one request that all parts see.

use tokio::sync::watch;

/// A shutdown that may be requested. All clones see the request.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// A shutdown that is requested when `trigger` completes.
    pub fn when(trigger: impl Future<Output = ()> + Send + 'static) -> Self {
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            trigger.await;
            sender.send_replace(true);
            // Kept until all clones have seen it.
            sender.closed().await;
        });
        Self(receiver)
    }

    /// Waits until shutdown is requested. Returns at once if it has been.
    pub async fn requested(&self) {
        // An error means that the trigger is gone: end, too.
        let _ = self.0.clone().wait_for(|&requested| requested).await;
    }

    /// Runs a future. Returns nothing, and drops the future, if shutdown is requested first.
    pub async fn or<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            () = self.requested() => None,
            value = future => Some(value),
        }
    }
}

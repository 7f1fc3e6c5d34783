//! Connections that many queues share.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use crate::backoff::Backoff;
use crate::broker::{BrokerError, Connection};
use crate::config::BrokerConfig;

/// One connection at a time: whoever asks for it gets the same one. When it is lost, whoever asks first
/// makes the next, and the others wait for that. Clones share it, too.
#[derive(Clone)]
pub struct Connections(Arc<Inner>);

struct Inner {
    config: BrokerConfig,
    /// The broker shows it to its operators.
    name: String,
    state: Mutex<State>,
    overflow: OnceLock<Connections>,
}

#[derive(Default)]
struct State {
    latest: Option<Attempt>,
    /// The broker of the last connection.
    peer: Option<SocketAddr>,
    /// Between tries in vain.
    backoff: Backoff,
}

type Attempt = Shared<BoxFuture<'static, Result<Arc<Connection>, Arc<BrokerError>>>>;

impl Connections {
    pub fn new(config: &BrokerConfig, name: String) -> Self {
        let inner = Inner {
            config: config.clone(),
            name,
            state: Mutex::default(),
            overflow: OnceLock::new(),
        };
        Self(Arc::new(inner))
    }

    /// Connections apart from these. The first one goes to the next broker, if there are several.
    pub fn separate(&self) -> Self {
        let separate = Self::new(&self.0.config, self.0.name.clone());
        separate.state().peer = self.state().peer;
        separate
    }

    /// Connections for all who find no free channel on these.
    pub fn overflow(&self) -> Self {
        self.0.overflow.get_or_init(|| self.separate()).clone()
    }

    /// The connection. After a try in vain the next one waits for a moment.
    ///
    /// # Errors
    /// As [`Connection::open`]. All who wait for the same try get its error.
    pub async fn get(&self) -> Result<Arc<Connection>, Arc<BrokerError>> {
        let attempt = self.attempt();
        let outcome = attempt.clone().await;
        let mut state = self.state();
        if let Ok(connection) = &outcome
            && state
                .latest
                .as_ref()
                .is_some_and(|latest| latest.ptr_eq(&attempt))
        {
            state.peer = connection.peer();
            state.backoff = Backoff::default();
        }
        outcome
    }

    /// The latest try, or a new one if that has failed or its connection is lost.
    fn attempt(&self) -> Attempt {
        let mut state = self.state();
        let mut pause = None;
        match state.latest.as_ref().map(|latest| (latest, latest.peek())) {
            Some((latest, None)) => return latest.clone(),
            Some((latest, Some(Ok(connection)))) if connection.is_open() => return latest.clone(),
            Some((_, Some(Err(_)))) => pause = Some(state.backoff.next()),
            Some((_, Some(Ok(_)))) | None => {}
        }
        let (config, name, last) = (self.0.config.clone(), self.0.name.clone(), state.peer);
        let attempt = async move {
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
            let connection = Connection::open(&config, &name, last).await;
            connection.map(Arc::new).map_err(Arc::new)
        };
        state.latest.insert(attempt.boxed().shared()).clone()
    }

    /// The connection, if it is open.
    pub fn current(&self) -> Option<Arc<Connection>> {
        let state = self.state();
        let connection = state.latest.as_ref()?.peek()?.as_ref().ok()?;
        connection.is_open().then(|| connection.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The command line of stock-consumer.

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::audit::Audit;
use crate::config::{ConfigError, Reader};
use crate::shutdown::Shutdown;
use crate::store::StoreError;
use crate::{StartError, http, run, telemetry};

/// `EX_USAGE` and `EX_CONFIG` of sysexits.h.
const USAGE: u8 = 64;
const BAD_CONFIGURATION: u8 = 78;

const HELP: &str = "\
Averages the trades of RabbitMQ queues in windows, and stores the averages in MongoDB, each trade
exactly once.

Usage: stock-consumer [COMMAND]

Without a command it consumes until SIGTERM or SIGINT: then it stores what is in flight, gives the
rest back to the queue and ends within 5 s; a second signal ends it at once.

Commands:
  audit        Proves from the database that every trade was counted exactly once: prints, for each
               queue and epoch, windows, trades, gaps, doubles, rejected and expired trades; fails
               on any gap or double. Waits up to 30 s for the database
  healthcheck  Asks the consumer on HTTP_ADDRESS whether it is ready; fails if it is not
  healthcheck started
               The same until it is ready for the first time; from then on fails only if it does
               not answer. For an orchestrator that restarts what fails: waiting is no reason to

Options:
  --help       Prints this
  --version    Prints the version

Environment (a variable that holds a secret can be given as NAME_FILE, the path of a file):
  RABBITMQ_URL        amqp://USER:PASSWORD@HOST:PORT/VHOST, amqps for TLS    required  (or _FILE);
                      for TLS also ?cacertfile=FILE&certfile=FILE&keyfile=FILE
  RABBITMQ_QUEUE      the queue to read, or several: MSFT,TSLA,AAPL          required
  COMPANY             the company whose trades it carries, one for each      the queue's name
  MONGODB_URL         mongodb://USER:PASSWORD@HOST,HOST,HOST/?replicaSet=NAME  required  (or _FILE);
                      for TLS also &tls=true&tlsCAFile=FILE&tlsCertificateKeyFile=FILE
  MONGODB_DB          the database                                           stockmarket
  MONGODB_COLLECTION  the collection                                         stocks
  SSL_CERT_FILE       the authorities to trust when the URL names none       the system's
  BATCH_SIZE          trades in a window, 1 to 65535                         1000
  WINDOWS_IN_FLIGHT   full windows of a queue that may wait for the          8; fewer with more
                      database, 1 to 64                                      than 8 queues
  RETENTION           how long windows are kept, such as 12h, 30d or 1y      for ever
  MAX_BODY_BYTES      larger messages are rejected, 64 to 16777216           65536
  HTTP_ADDRESS        serves /healthz, /readyz, /startedz and /metrics       127.0.0.1:9101
  LOG_FORMAT          text or json                                           text on a terminal
  LOG_LEVEL           error, warn, info, debug or trace                      info

Exit status: 0 success; 1 failure; 64 unknown command; 78 the configuration cannot be used.
";

/// Why the program ends without success: printed once, here.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("not ready: {0}")]
    NotReady(String),
    #[error("the database cannot be read: {0}")]
    Audit(#[from] StoreError),
    #[error("the runtime cannot be started: {0}")]
    Runtime(#[from] std::io::Error),
}

/// The whole program. No future leaves this library: it would be compiled a second time for `main.rs`.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        [] => consume(),
        ["audit"] => audit(),
        ["healthcheck"] => healthcheck("/readyz"),
        ["healthcheck", "started"] => healthcheck("/startedz"),
        ["--help" | "-h" | "help"] => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        ["--version" | "-V"] => {
            println!("stock-consumer {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprintln!(
                "stock-consumer: unknown command: {}\nTry --help.",
                arguments.join(" ")
            );
            Ok(USAGE.into())
        }
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("stock-consumer: {failure}");
        match failure {
            Failure::Config(_) => BAD_CONFIGURATION.into(),
            _ => ExitCode::FAILURE,
        }
    })
}

fn consume() -> Result<ExitCode, Failure> {
    let config = configure(Reader::config)?;
    runtime()?.block_on(async {
        let (terminate, interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        run(config, Shutdown::when(signalled(terminate, interrupt))).await?;
        Ok(ExitCode::SUCCESS)
    })
}

fn audit() -> Result<ExitCode, Failure> {
    let database = configure(Reader::database)?;
    runtime()?.block_on(async {
        let audit = Audit::of(&database).await?;
        print!("{audit}");
        Ok(if audit.is_sound() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

fn healthcheck(path: &str) -> Result<ExitCode, Failure> {
    http::healthcheck(environment().http()?.address, path).map_err(Failure::NotReady)?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a part of the configuration, and starts logging if it is valid.
fn configure<T>(read: impl FnOnce(Reader) -> Result<T, ConfigError>) -> Result<T, Failure> {
    let logs = environment().log_config();
    let part = read(environment())?;
    telemetry::init_logs(logs);
    Ok(part)
}

fn environment() -> Reader {
    Reader::new(std::env::vars_os())
}

/// One thread is enough, and faster: no data passes between threads.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Waits for the first signal; the second one ends the process at once.
async fn signalled(mut terminate: Signal, mut interrupt: Signal) {
    let mut next = async move || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    next().await;
    tokio::spawn(async move {
        next().await;
        std::process::exit(1);
    });
    // Lets the task run once, so that it waits for the second signal from now on.
    tokio::time::sleep(Duration::ZERO).await;
}

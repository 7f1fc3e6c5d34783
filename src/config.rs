//! Configuration, read from environment variables. The fields' documentation is the reference.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use lapin::uri::AMQPUri;
use mongodb::options::{ConnectionString, Tls};
use serde::Deserialize;
use url::Url;

use crate::tls::BrokerTls;
use crate::trade::Rules;

/// The configuration of a consumer.
#[derive(Clone, Debug)]
pub struct Config {
    pub broker: BrokerConfig,
    /// `RABBITMQ_QUEUE`: at least one, all different.
    pub queues: Vec<QueueConfig>,
    pub database: DatabaseConfig,
    /// `BATCH_SIZE`: trades in a window, 1 to 65535 (what one consumer may hold unacknowledged);
    /// default 1000.
    pub batch_size: u16,
    /// `WINDOWS_IN_FLIGHT`: full windows of one queue that may wait for the database before reading it
    /// pauses, 1 to 64; default 16, and fewer with more than 4 queues, so that all together hold no more
    /// than 64, or 2 for each.
    pub windows_in_flight: usize,
    /// `RETENTION`: how long windows are kept, 1 hour to 100 years; default for ever.
    pub retention: Option<Duration>,
    pub http: HttpConfig,
}

impl Config {
    /// The prefetch count. Large enough to go on reading while as many
    /// windows as may be in flight are written, as far as AMQP can count.
    pub fn prefetch(&self) -> u16 {
        let windows = u16::try_from(self.windows_in_flight + 1).unwrap_or(u16::MAX);
        self.batch_size.saturating_mul(windows)
    }
}

/// The broker.
#[derive(Clone)]
pub struct BrokerConfig {
    /// `RABBITMQ_URL` or `RABBITMQ_URL_FILE`: an AMQP URL, `amqps` for TLS; required.
    pub url: AMQPUri,
    /// In the URL's query.
    pub tls: BrokerTls,
}

/// A queue to read.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// In `RABBITMQ_QUEUE`: one name, or several with commas between them; required.
    pub name: String,
    /// Trades must be of the company of the same name, unless `COMPANY` names another: one for each
    /// queue, in the same order.
    pub rules: Rules,
}

/// The database, and the collection of the windows.
#[derive(Clone)]
pub struct DatabaseConfig {
    /// `MONGODB_URL` or `MONGODB_URL_FILE`: a MongoDB connection string, `tls=true` for TLS; required.
    pub url: String,
    /// `MONGODB_DB`: default `stockmarket`.
    pub database: String,
    /// `MONGODB_COLLECTION`: default `stocks`.
    pub collection: String,
}

/// The address of health and metrics.
#[derive(Clone, Copy, Debug)]
pub struct HttpConfig {
    /// `HTTP_ADDRESS`: an IP address and port; default `127.0.0.1:9101`.
    pub address: SocketAddr,
}

/// How to log.
#[derive(Clone, Copy, Debug)]
pub struct LogConfig {
    /// `LOG_FORMAT`: `text` or `json`; by default text on a terminal, JSON otherwise.
    pub format: Option<LogFormat>,
    /// `LOG_LEVEL`: `error`, `warn`, `info`, `debug` or `trace`; default `info`.
    pub level: tracing::Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

// Keeps the URLs out of logs and errors, because they contain passwords.
impl fmt::Debug for BrokerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerConfig").finish_non_exhaustive()
    }
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseConfig")
            .field("database", &self.database)
            .field("collection", &self.collection)
            .finish_non_exhaustive()
    }
}

/// One variable's problem, with an example of a valid value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub variable: &'static str,
    pub what: String,
    pub example: &'static str,
}

/// All problems of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration cannot be used:")?;
        for Problem {
            variable,
            what,
            example,
        } in &self.0
        {
            write!(f, "\n  {variable} {what}; for example {variable}={example}")?;
        }
        Ok(())
    }
}

/// The variables as they stand in the environment. An empty one counts as not set, because that
/// is what Compose and process managers make of an unset one.
#[derive(Debug, Default, Deserialize)]
struct Variables {
    rabbitmq_url: Option<String>,
    rabbitmq_url_file: Option<String>,
    rabbitmq_queue: Option<String>,
    company: Option<String>,
    mongodb_url: Option<String>,
    mongodb_url_file: Option<String>,
    mongodb_db: Option<String>,
    mongodb_collection: Option<String>,
    batch_size: Option<String>,
    windows_in_flight: Option<String>,
    retention: Option<String>,
    max_body_bytes: Option<String>,
    http_address: Option<String>,
    log_format: Option<String>,
    log_level: Option<String>,
}

/// Reads the environment and collects all problems.
pub struct Reader {
    variables: Variables,
    problems: Vec<Problem>,
}

const RABBITMQ_URL: Named = Named("RABBITMQ_URL", "amqp://user:password@rabbitmq:5672/");
const RABBITMQ_QUEUE: Named = Named("RABBITMQ_QUEUE", "MSFT,TSLA");
const MONGODB_URL: Named = Named(
    "MONGODB_URL",
    "mongodb://user:password@mongo1,mongo2,mongo3/?replicaSet=rs0",
);

/// By default no more windows may be in flight in all queues together, unless that is less than 2 for each.
const WINDOWS_OF_ALL: usize = 64;

/// The names in a list with commas.
fn names_in(list: &str) -> Vec<String> {
    list.split(',').map(|name| name.trim().to_owned()).collect()
}

/// A variable's name, and an example of a value.
#[derive(Clone, Copy)]
struct Named(&'static str, &'static str);

impl Reader {
    /// Reads from (name, value) pairs, such as `std::env::vars_os` gives; other names are ignored,
    /// and so are values that are not UTF-8.
    pub fn new<K: Into<std::ffi::OsString>, V: Into<std::ffi::OsString>>(
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let utf8 = environment
            .into_iter()
            .filter_map(|(k, v)| Some((k.into().into_string().ok()?, v.into().into_string().ok()?)))
            .filter(|(_, value)| !value.is_empty());
        Self {
            // Every field is an optional string, so reading cannot fail.
            variables: envy::from_iter(utf8).unwrap_or_default(),
            problems: Vec::new(),
        }
    }

    /// The consumer's configuration.
    ///
    /// # Errors
    /// Names every variable that is missing, malformed or out of range.
    pub fn config(mut self) -> Result<Config, ConfigError> {
        let broker = self.broker();
        let names = self.queues().unwrap_or_default();
        let companies = self.companies(&names);
        let database = self.database_config();
        let batch_size = self.number(
            Named("BATCH_SIZE", "1000"),
            |v| &v.batch_size,
            1000,
            1,
            65535,
        );
        let windows_in_flight = self.number(
            Named("WINDOWS_IN_FLIGHT", "16"),
            |v| &v.windows_in_flight,
            (WINDOWS_OF_ALL / names.len().max(1)).clamp(2, 16) as u32,
            1,
            64,
        );
        let max_body_bytes = self.number(
            Named("MAX_BODY_BYTES", "65536"),
            |v| &v.max_body_bytes,
            65536,
            64,
            16_777_216,
        );
        let retention = self.retention();
        let http = self.http_config();
        // The caller has set up the logs before. Their problems are reported with the others.
        self.log_config();
        match (broker, database, http) {
            (Some(broker), Some(database), Some(http)) if self.problems.is_empty() => Ok(Config {
                queues: std::iter::zip(names, companies)
                    .map(|(name, company)| QueueConfig {
                        name,
                        rules: Rules {
                            company,
                            max_body_bytes: max_body_bytes as usize,
                        },
                    })
                    .collect(),
                broker,
                database,
                batch_size: batch_size as u16,
                windows_in_flight: windows_in_flight as usize,
                retention,
                http,
            }),
            _ => Err(ConfigError(self.problems)),
        }
    }

    /// The configuration of an audit: only the database.
    ///
    /// # Errors
    /// As [`Reader::config`].
    pub fn database(mut self) -> Result<DatabaseConfig, ConfigError> {
        self.database_config().ok_or(ConfigError(self.problems))
    }

    /// The configuration of a health check: only the address.
    ///
    /// # Errors
    /// As [`Reader::config`].
    pub fn http(mut self) -> Result<HttpConfig, ConfigError> {
        self.http_config().ok_or(ConfigError(self.problems))
    }

    /// The configuration of the logs. Invalid variables fall back to their defaults, so that the
    /// problems can be logged.
    pub fn log_config(&mut self) -> LogConfig {
        let format = self.choice(
            Named("LOG_FORMAT", "json"),
            |v| &v.log_format,
            "is neither text nor json",
            |name| match name {
                "text" => Some(LogFormat::Text),
                "json" => Some(LogFormat::Json),
                _ => None,
            },
        );
        let level = self.choice(
            Named("LOG_LEVEL", "info"),
            |v| &v.log_level,
            "is none of error, warn, info, debug, trace",
            // `FromStr` accepts numbers, too.
            |name| {
                name.starts_with(char::is_alphabetic)
                    .then(|| name.parse().ok())?
            },
        );
        LogConfig {
            format,
            level: level.unwrap_or(tracing::Level::INFO),
        }
    }

    fn broker(&mut self) -> Option<BrokerConfig> {
        let url = self.secret(RABBITMQ_URL, |v| (&v.rabbitmq_url, &v.rabbitmq_url_file));
        let url = url.and_then(|url| match (AMQPUri::from_str(&url), Url::parse(&url)) {
            (Ok(uri), Ok(url)) => Some((uri, self.broker_tls(&url)?)),
            // The parser's own message could contain the password.
            _ => self.problem(RABBITMQ_URL, "is not an AMQP URL"),
        });
        let (url, tls) = url?;
        Some(BrokerConfig { url, tls })
    }

    fn queues(&mut self) -> Option<Vec<String>> {
        let Some(list) = self.variables.rabbitmq_queue.take() else {
            return self.problem(RABBITMQ_QUEUE, "is missing");
        };
        let names = names_in(&list);
        let mut seen = HashSet::new();
        for name in &names {
            if name.is_empty() {
                return self.problem(RABBITMQ_QUEUE, "has an empty name");
            }
            // With the suffix `.rejected`, it must fit into AMQP's 255 bytes.
            if name.len() > 246 {
                return self.problem(RABBITMQ_QUEUE, "has a name longer than 246 bytes");
            }
            if !seen.insert(name) {
                return self.problem(RABBITMQ_QUEUE, format!("has {name} twice"));
            }
        }
        Some(names)
    }

    /// The company of each queue.
    fn companies(&mut self, queues: &[String]) -> Vec<String> {
        match self.variables.company.take() {
            None => queues.to_vec(),
            // A company's own name may have a comma.
            Some(company) if queues.len() <= 1 => vec![company],
            Some(companies) => {
                let companies = names_in(&companies);
                if companies.len() != queues.len() || companies.iter().any(String::is_empty) {
                    let what = format!("must name {} companies, one for each queue", queues.len());
                    self.problem::<()>(Named("COMPANY", "MSFT,TSLA"), what);
                }
                companies
            }
        }
    }

    fn broker_tls(&mut self, url: &Url) -> Option<BrokerTls> {
        let parameter = |name| {
            let mut query = url.query_pairs();
            let (_, value) = query.find(|(key, value)| key == name && !value.is_empty())?;
            Some(value.into_owned())
        };
        let file = |name| parameter(name).map(PathBuf::from);
        let identity = match (file("certfile"), file("keyfile")) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => {
                let what = "has only one of certfile and keyfile in its query";
                return self.problem(RABBITMQ_URL, what);
            }
        };
        let tls = BrokerTls {
            authorities: file("cacertfile"),
            identity,
            server_name: parameter("server_name_indication"),
        };
        self.readable(RABBITMQ_URL, tls.files())?;
        Some(tls)
    }

    /// Reports the first file in a URL that cannot be read.
    fn readable<'a>(
        &mut self,
        url: Named,
        files: impl IntoIterator<Item = (&'static str, &'a Path)>,
    ) -> Option<()> {
        for (parameter, file) in files {
            if let Err(error) = File::open(file) {
                let file = file.display();
                let what = format!("names {parameter}={file}, which cannot be read: {error}");
                return self.problem(url, what);
            }
        }
        Some(())
    }

    fn database_config(&mut self) -> Option<DatabaseConfig> {
        let url = self.secret(MONGODB_URL, |v| (&v.mongodb_url, &v.mongodb_url_file));
        let url = url.and_then(|url| match ConnectionString::parse(&url) {
            Ok(ConnectionString { tls, .. }) => {
                if let Some(Tls::Enabled(tls)) = &tls {
                    let authorities = tls.ca_file_path.as_deref();
                    let identity = tls.cert_key_file_path.as_deref();
                    let authorities = authorities.map(|file| ("tlsCAFile", file));
                    let identity = identity.map(|file| ("tlsCertificateKeyFile", file));
                    self.readable(MONGODB_URL, authorities.into_iter().chain(identity))?;
                }
                Some(url)
            }
            Err(_) => self.problem(MONGODB_URL, "is not a MongoDB connection string"),
        });
        let database = self
            .variables
            .mongodb_db
            .take()
            .unwrap_or_else(|| "stockmarket".into());
        let database = if database.len() > 63
            || database.contains([
                '/', '\\', '.', ' ', '"', '$', '*', '<', '>', ':', '|', '?', '\0',
            ]) {
            self.problem(
                Named("MONGODB_DB", "stockmarket"),
                "is not a database name: at most 63 bytes, none of /\\. \"$*<>:|?",
            )
        } else {
            Some(database)
        };
        let collection = self
            .variables
            .mongodb_collection
            .take()
            .unwrap_or_else(|| "stocks".into());
        let collection = if collection.len() > 120
            || collection.starts_with("system.")
            || collection.contains(['$', '\0'])
        {
            self.problem(
                Named("MONGODB_COLLECTION", "stocks"),
                "is not a collection name: at most 120 bytes, no $, not system.…",
            )
        } else {
            Some(collection)
        };
        Some(DatabaseConfig {
            url: url?,
            database: database?,
            collection: collection?,
        })
    }

    fn retention(&mut self) -> Option<Duration> {
        const HOUR: u64 = 3600;
        let allowed = Duration::from_secs(HOUR)..=Duration::from_secs(100 * 8766 * HOUR);
        let text = self.variables.retention.take()?;
        match humantime::parse_duration(&text) {
            Ok(span) if allowed.contains(&span) => Some(span),
            _ => self.problem(
                Named("RETENTION", "30d"),
                "is not a time from 1h to 100y, in units of h, d, w or y",
            ),
        }
    }

    fn http_config(&mut self) -> Option<HttpConfig> {
        let address = self
            .variables
            .http_address
            .take()
            .unwrap_or_else(|| "127.0.0.1:9101".into());
        match address.parse() {
            Ok(address) => Some(HttpConfig { address }),
            Err(_) => self.problem(
                Named("HTTP_ADDRESS", "127.0.0.1:9101"),
                "is not an IP address and port",
            ),
        }
    }

    fn problem<T>(
        &mut self,
        Named(variable, example): Named,
        what: impl Into<String>,
    ) -> Option<T> {
        self.problems.push(Problem {
            variable,
            what: what.into(),
            example,
        });
        None
    }

    /// A required variable, or the content of the file that `<name>_FILE` names.
    fn secret(
        &mut self,
        named: Named,
        pick: impl Fn(&Variables) -> (&Option<String>, &Option<String>),
    ) -> Option<String> {
        let Named(name, _) = named;
        let (value, file) = pick(&self.variables);
        match (value.clone(), file.clone()) {
            (Some(value), None) => Some(value),
            (None, Some(file)) => match std::fs::read_to_string(&file) {
                Ok(content) if content.trim().is_empty() => self.problem(
                    named,
                    format!("is empty in the file that {name}_FILE names, {file}"),
                ),
                Ok(content) => Some(content.trim().to_owned()),
                Err(error) => self.problem(
                    named,
                    format!("cannot be read from {name}_FILE={file}: {error}"),
                ),
            },
            (Some(_), Some(_)) => self.problem(
                named,
                format!("is set, and {name}_FILE too: set one of them"),
            ),
            (None, None) => self.problem(named, format!("is missing, and so is {name}_FILE")),
        }
    }

    fn number(
        &mut self,
        named: Named,
        pick: impl Fn(&Variables) -> &Option<String>,
        default: u32,
        least: u32,
        most: u32,
    ) -> u32 {
        match pick(&self.variables).as_deref().map(str::parse::<u32>) {
            None => default,
            Some(Ok(number)) if (least..=most).contains(&number) => number,
            Some(_) => {
                self.problem::<()>(
                    named,
                    format!("is not a whole number from {least} to {most}"),
                );
                default
            }
        }
    }

    fn choice<T>(
        &mut self,
        named: Named,
        pick: impl Fn(&Variables) -> &Option<String>,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        match pick(&self.variables).as_deref().map(read) {
            Some(None) => self.problem(named, what),
            choice => choice.flatten(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 3] = [
        ("RABBITMQ_URL", "amqp://me:hush@localhost/"),
        ("RABBITMQ_QUEUE", "MSFT"),
        ("MONGODB_URL", "mongodb://me:hush@localhost/?replicaSet=rs0"),
    ];

    fn read(changes: &[(&'static str, &'static str)]) -> Result<Config, ConfigError> {
        Reader::new(
            GOOD.into_iter()
                .chain(changes.iter().copied())
                .collect::<std::collections::HashMap<_, _>>(),
        )
        .config()
    }

    #[test]
    fn defaults_are_as_documented() {
        let config = read(&[]).expect("a good configuration");
        assert_eq!(config.queues.len(), 1);
        assert_eq!(config.queues[0].name, "MSFT");
        assert_eq!(config.queues[0].rules.company, "MSFT");
        assert_eq!(config.queues[0].rules.max_body_bytes, 64 * 1024);
        assert_eq!(config.database.database, "stockmarket");
        assert_eq!(config.database.collection, "stocks");
        assert_eq!(config.batch_size, 1000);
        assert_eq!(config.windows_in_flight, 16);
        assert_eq!(
            config.http.address,
            "127.0.0.1:9101".parse().expect("an address")
        );
    }

    #[test]
    fn every_variable_is_read() {
        let config = read(&[
            ("COMPANY", "Microsoft, Inc."),
            ("MONGODB_DB", "market"),
            ("MONGODB_COLLECTION", "averages"),
            ("BATCH_SIZE", "65535"),
            ("WINDOWS_IN_FLIGHT", "1"),
            ("MAX_BODY_BYTES", "64"),
            ("HTTP_ADDRESS", "[::]:80"),
        ])
        .expect("a good configuration");
        assert_eq!(config.queues[0].rules.company, "Microsoft, Inc.");
        assert_eq!(config.queues[0].rules.max_body_bytes, 64);
        assert_eq!(config.database.database, "market");
        assert_eq!(config.database.collection, "averages");
        assert_eq!((config.batch_size, config.windows_in_flight), (65535, 1));
        assert_eq!(config.http.address, "[::]:80".parse().expect("an address"));
    }

    #[test]
    fn many_queues_have_a_company_each() {
        let list = [("RABBITMQ_QUEUE", " MSFT,my queue ,\nBRK.B\n")];
        let told = |changes: &[_]| {
            let config = read(&[&list[..], changes].concat()).expect("a good configuration");
            let queues = config.queues.into_iter();
            let queues = queues.map(|queue| format!("{}={}", queue.name, queue.rules.company));
            queues.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told(&[]), "MSFT=MSFT my queue=my queue BRK.B=BRK.B");
        assert_eq!(told(&[("COMPANY", "A,B, C")]), "MSFT=A my queue=B BRK.B=C");
    }

    #[test]
    fn many_queues_share_what_may_be_in_flight() {
        let in_flight = |queues: usize, changes: &[_]| {
            let names: Vec<String> = (0..queues).map(|number| number.to_string()).collect();
            let list = [("RABBITMQ_QUEUE", &*names.join(",").leak())];
            let config = read(&[&list[..], changes].concat()).expect("a good configuration");
            config.windows_in_flight
        };
        let defaults = [1, 8, 16, 32, 500].map(|queues| in_flight(queues, &[]));
        assert_eq!(defaults, [16, 8, 4, 2, 2]);
        assert_eq!(in_flight(500, &[("WINDOWS_IN_FLIGHT", "8")]), 8);
    }

    #[test]
    fn each_problem_is_named() {
        let long = "x".repeat(247).leak();
        for (variable, value, what) in [
            ("RABBITMQ_URL", "", "missing"),
            (
                "RABBITMQ_URL",
                "http://me:hush@localhost",
                "not an AMQP URL",
            ),
            (
                "RABBITMQ_URL",
                "amqp://me:hush@localhost:port/",
                "not an AMQP URL",
            ),
            (
                "RABBITMQ_URL",
                "amqps://me:hush@localhost/?cacertfile=/no/such/file",
                "names cacertfile=/no/such/file, which cannot be read",
            ),
            (
                "RABBITMQ_URL",
                "amqps://me:hush@localhost/?certfile=a.pem",
                "only one of certfile and keyfile",
            ),
            (
                "MONGODB_URL",
                "mongodb://me:hush@localhost/?tls=true&tlsCAFile=/no/such/file",
                "names tlsCAFile=/no/such/file, which cannot be read",
            ),
            (
                "MONGODB_URL",
                "mongodb://me:hush@localhost/?tls=true&tlsCertificateKeyFile=/no/such/file",
                "names tlsCertificateKeyFile=/no/such/file",
            ),
            ("RABBITMQ_QUEUE", "", "missing"),
            ("RABBITMQ_QUEUE", long, "longer than 246 bytes"),
            ("RABBITMQ_QUEUE", "MSFT,,TSLA", "an empty name"),
            ("RABBITMQ_QUEUE", "MSFT,TSLA, MSFT", "has MSFT twice"),
            ("MONGODB_URL", "", "missing"),
            (
                "MONGODB_URL",
                "localhost",
                "not a MongoDB connection string",
            ),
            (
                "MONGODB_URL",
                "mongodb://me:hu/sh@localhost",
                "not a MongoDB connection string",
            ),
            ("MONGODB_DB", "a.b", "not a database name"),
            ("MONGODB_COLLECTION", "a$b", "not a collection name"),
            ("BATCH_SIZE", "0", "from 1 to 65535"),
            ("BATCH_SIZE", "65536", "from 1 to 65535"),
            ("BATCH_SIZE", "-1", "from 1 to 65535"),
            ("BATCH_SIZE", "many", "from 1 to 65535"),
            ("WINDOWS_IN_FLIGHT", "65", "from 1 to 64"),
            ("MAX_BODY_BYTES", "1e6", "from 64 to 16777216"),
            ("HTTP_ADDRESS", "localhost", "not an IP address and port"),
            ("LOG_FORMAT", "xml", "neither text nor json"),
            ("LOG_LEVEL", "3", "none of error, warn"),
        ] {
            let ConfigError(problems) = read(&[(variable, value)]).expect_err(variable);
            assert_eq!(problems.len(), 1, "{variable}={value}: {problems:?}");
            assert_eq!(problems[0].variable, variable);
            assert!(problems[0].what.contains(what), "{problems:?}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once_and_no_secret_is() {
        let error = read(&[
            ("RABBITMQ_URL", "amqp:me:hush@localhost"),
            ("MONGODB_URL", "me:hush@localhost"),
            ("BATCH_SIZE", "x"),
            ("HTTP_ADDRESS", "y"),
        ])
        .expect_err("four problems");
        let told = error.to_string();
        for variable in ["RABBITMQ_URL", "MONGODB_URL", "BATCH_SIZE", "HTTP_ADDRESS"] {
            assert!(told.contains(&format!("\n  {variable} ")), "{told}");
            assert!(told.contains(&format!("for example {variable}=")), "{told}");
        }
        assert!(!told.contains("hush"), "{told}");
        assert!(!format!("{:?}", read(&[])).contains("hush"));
    }

    #[test]
    fn retention_is_a_time() {
        let retention = |text| read(&[("RETENTION", text)]).map(|config| config.retention);
        let days = |days: u64| Ok(Some(Duration::from_secs(days * 24 * 3600)));
        assert_eq!(read(&[]).expect("a good configuration").retention, None);
        assert_eq!(retention("30d"), days(30));
        assert_eq!(
            retention("1w 12h"),
            days(15).map(|span| span.map(|span| span / 2))
        );
        for bad in ["30", "59m", "soon", "-1d", "101y"] {
            let error = retention(bad).expect_err("a problem").to_string();
            assert!(error.contains("RETENTION is not a time from 1h"), "{error}");
        }
    }

    #[test]
    fn secrets_can_stand_in_files() {
        let file = std::env::temp_dir().join(format!("stock-consumer-{}.url", std::process::id()));
        let path = file.to_str().expect("UTF-8").to_owned().leak();
        std::fs::write(&file, "amqp://me:hush@filed/\n").expect("written");
        let config = read(&[("RABBITMQ_URL", ""), ("RABBITMQ_URL_FILE", path)])
            .expect("a good configuration");
        assert_eq!(config.broker.url.authority.host, "filed");

        let both = read(&[("RABBITMQ_URL_FILE", path)])
            .expect_err("set twice")
            .to_string();
        assert!(both.contains("RABBITMQ_URL_FILE too"), "{both}");
        std::fs::write(&file, "\n").expect("written");
        let empty = read(&[("RABBITMQ_URL", ""), ("RABBITMQ_URL_FILE", path)])
            .expect_err("empty")
            .to_string();
        assert!(empty.contains("is empty in the file"), "{empty}");
        std::fs::remove_file(&file).expect("removed");
        let gone = read(&[("RABBITMQ_URL", ""), ("RABBITMQ_URL_FILE", path)])
            .expect_err("gone")
            .to_string();
        assert!(gone.contains("cannot be read"), "{gone}");
    }

    #[test]
    fn an_audit_needs_the_database_only_and_a_health_check_nothing() {
        let url = [("MONGODB_URL", "mongodb://localhost")];
        assert!(Reader::new(url).database().is_ok());
        assert!(Reader::new([("A", "b")]).http().is_ok());
    }
}

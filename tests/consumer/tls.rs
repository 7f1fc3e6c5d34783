//! Brokers and databases that speak TLS only, with certificates of a private authority.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use bson::doc;
use futures_util::future::join_all;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::sync::{OnceCell, RwLock};

use crate::market::{Claim, Kind, Market, Servers, eventually, program, variable};

const HOUR: Duration = Duration::from_secs(3600);

/// Issues certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut itself = CertificateParams::default();
        itself.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        itself.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(itself, key).expect("an authority"))
    }

    fn pem(&self) -> String {
        self.0.as_ref().pem()
    }

    /// A certificate for localhost, and its key, as PEM.
    fn issue(&self, name: &str, not_after: SystemTime) -> String {
        let mut subject = CertificateParams::new(["localhost".to_owned()]).expect("a host");
        subject.distinguished_name = rcgen::DistinguishedName::new();
        subject.distinguished_name.push(DnType::CommonName, name);
        subject.not_after = not_after.into();
        let key = KeyPair::generate().expect("a key");
        let certificate = subject.signed_by(&key, &self.0).expect("a certificate");
        certificate.pem() + &key.serialize_pem()
    }
}

/// A real broker and a real replica set, of one member, started as tests/with-servers starts its own.
struct TlsServers {
    home: PathBuf,
    environment: Vec<(&'static str, String)>,
    authority: Authority,
    rabbitmq_port: u16,
    mongodb_port: u16,
    /// Ends the servers when this process ends, for whatever reason: then its input ends.
    _guard: Child,
}

/// Free ports below those of outgoing connections: none is taken before its server listens.
fn server_ports<const COUNT: usize>() -> [u16; COUNT] {
    let start = 20_000 + (std::process::id() % 8_000) as u16;
    let mut free = (start..).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    std::array::from_fn(|_| free.next().expect("a free port"))
}

/// A test that changes certificates has the servers to itself.
static CLAIMS: RwLock<()> = RwLock::const_new(());

async fn servers() -> &'static TlsServers {
    static SERVERS: OnceCell<TlsServers> = OnceCell::const_new();
    SERVERS.get_or_init(TlsServers::start).await
}

impl TlsServers {
    async fn start() -> Self {
        let home = std::env::temp_dir().join(format!("stockmarket-tls.{}", std::process::id()));
        let file = |name: &str| home.join(name).display().to_string();
        let [rabbitmq_port, distribution_port, epmd_port, mongodb_port] = server_ports();
        let mongod_options = format!(
            "--tlsMode requireTLS --tlsCertificateKeyFile {} --tlsCAFile {} --tlsAllowConnectionsWithoutCertificates",
            file("mongodb.pem"),
            file("authority.pem"),
        );
        let environment = vec![
            ("STOCKMARKET_HOME", home.display().to_string()),
            ("RABBITMQ_PORT", rabbitmq_port.to_string()),
            ("RABBITMQ_DIST_PORT", distribution_port.to_string()),
            ("EPMD_PORT", epmd_port.to_string()),
            ("MONGO1_PORT", mongodb_port.to_string()),
            ("MONGOD_OPTIONS", mongod_options),
            ("BROKER_PLUGINS", "rabbitmq_auth_mechanism_ssl".into()),
        ];
        // A session of its own: a signal to this process does not reach it.
        let guard = Command::new("setsid")
            .arg(variable("TEST_SERVERS"))
            .arg("guard")
            .envs(environment.clone())
            .stdin(Stdio::piped())
            .spawn()
            .expect("a guard");
        let authority = Authority::new("an authority of this test");
        let rabbitmq = format!(
            r#"[{{rabbit, [
              {{tcp_listeners, []}},
              {{ssl_listeners, [{{"127.0.0.1", {rabbitmq_port}}}]}},
              {{ssl_options, [{{cacertfile, "{0}"}}, {{certfile, "{1}"}}, {{keyfile, "{1}"}}, {{verify, verify_peer}}]}},
              {{auth_mechanisms, ['PLAIN', 'EXTERNAL']}},
              {{ssl_cert_login_from, common_name}}
            ]}}]."#,
            file("authority.pem"),
            file("rabbitmq.pem"),
        );
        let servers = Self {
            environment,
            authority,
            rabbitmq_port,
            mongodb_port,
            _guard: guard,
            home,
        };
        servers.put("authority.pem", &servers.authority.pem());
        servers.put(
            "other-authority.pem",
            &Authority::new("another authority").pem(),
        );
        servers.put("data/rabbitmq/advanced.config", &rabbitmq);
        for name in ["rabbitmq", "mongodb", "consumer"] {
            servers.renew(name, HOUR);
        }
        let stranger =
            Authority::new("another authority").issue("consumer", SystemTime::now() + HOUR);
        servers.put("stranger.pem", &stranger);

        let root = variable("STOCKMARKET_ROOT");
        servers.run(&format!("{root}/scripts/secrets"), &[]);
        for name in ["epmd", "mongo1", "rabbitmq"] {
            servers.control(&["launch", name]);
        }
        servers.control(&["await", "mongo1"]);
        servers.initiate().await;
        servers.control(&["await", "rabbitmq"]);
        servers
    }

    /// Makes the member a replica set. Until there is a user, it trusts whoever comes from its machine.
    async fn initiate(&self) {
        let member = format!("localhost:{}", self.mongodb_port);
        let url = self.mongodb(
            "localhost",
            "tls=true&tlsCAFile=AUTHORITY&directConnection=true",
        );
        let url = url.replace(
            &format!("admin:{}@", self.secret("mongodb-admin.password")),
            "",
        );
        let client = mongodb::Client::with_uri_str(url).await.expect("a URL");
        let admin = client.database("admin");
        let config = doc! { "_id": "rs0", "members": [{ "_id": 0, "host": member }] };
        let initiate = doc! { "replSetInitiate": config };
        admin.run_command(initiate).await.expect("initiated");
        eventually("a primary", async || {
            let hello = admin.run_command(doc! { "hello": 1 }).await;
            hello.is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or(false))
        })
        .await;
        let password = self.secret("mongodb-admin.password");
        let create = doc! { "createUser": "admin", "pwd": password, "roles": ["root"] };
        admin.run_command(create).await.expect("a user");
        let create = doc! { "createUser": "CN=consumer", "roles": [{ "role": "readWriteAnyDatabase", "db": "admin" }] };
        let external = self.admin().await.database("$external");
        external.run_command(create).await.expect("a user");
    }

    /// The database's administrator, whatever its certificate is.
    async fn admin(&self) -> mongodb::Client {
        let url = self.mongodb("localhost", "tls=true&tlsAllowInvalidCertificates=true");
        mongodb::Client::with_uri_str(url).await.expect("a URL")
    }

    /// Puts a new certificate in the place of a server's or client's.
    fn renew(&self, name: &str, lifetime: Duration) -> SystemTime {
        let not_after = SystemTime::now() + lifetime;
        self.put(
            &format!("{name}.pem"),
            &self.authority.issue(name, not_after),
        );
        not_after
    }

    async fn renew_mongodb(&self, lifetime: Duration) -> SystemTime {
        let not_after = self.renew("mongodb", lifetime);
        let rotate = doc! { "rotateCertificates": 1 };
        let admin = self.admin().await.database("admin");
        admin.run_command(rotate).await.expect("renewed");
        not_after
    }

    fn renew_rabbitmq(&self, lifetime: Duration) {
        self.renew("rabbitmq", lifetime);
        self.control(&["rabbitmqctl", "-q", "eval", "ssl:clear_pem_cache()."]);
    }

    fn file(&self, name: &str) -> String {
        self.home.join(name).display().to_string()
    }

    fn put(&self, name: &str, content: &str) {
        let file = self.home.join(name);
        let folder = file.parent().expect("a folder");
        std::fs::create_dir_all(folder).expect("created");
        std::fs::write(file, content).expect("written");
    }

    fn secret(&self, name: &str) -> String {
        let secret = std::fs::read_to_string(self.home.join("secrets").join(name));
        secret.expect("a secret").trim().to_owned()
    }

    fn control(&self, arguments: &[&str]) {
        self.run(&variable("TEST_SERVERS"), arguments);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        command.args(arguments).envs(self.environment.clone());
        let status = command.stdout(Stdio::null()).status().expect("a program");
        assert!(status.success(), "{program} {arguments:?}: {status}");
    }

    /// In a query, capital letters stand for the paths of files.
    fn query(&self, query: &str) -> String {
        query
            .replace("OTHER", &self.file("other-authority.pem"))
            .replace("AUTHORITY", &self.file("authority.pem"))
            .replace("CONSUMER", &self.file("consumer.pem"))
            .replace("STRANGER", &self.file("stranger.pem"))
    }

    fn rabbitmq(&self, host: &str, query: &str) -> String {
        let (password, port) = (self.secret("rabbitmq-admin.password"), self.rabbitmq_port);
        format!(
            "amqps://admin:{password}@{host}:{port}/%2f?{}",
            self.query(query)
        )
    }

    fn mongodb(&self, host: &str, query: &str) -> String {
        let (password, port) = (self.secret("mongodb-admin.password"), self.mongodb_port);
        format!(
            "mongodb://admin:{password}@{host}:{port}/?{}",
            self.query(query)
        )
    }

    async fn market(&'static self, name: &str, claim: Claim) -> Market {
        let servers = Servers {
            rabbitmq_url: self.rabbitmq("localhost", "cacertfile=AUTHORITY"),
            mongodb_url: self.mongodb("localhost", "tls=true&tlsCAFile=AUTHORITY"),
            authority: Some(self.authority.pem()),
        };
        Market::at(servers, name, claim).await
    }
}

#[tokio::test]
async fn windows_are_stored_and_audited_over_tls() {
    let servers = servers().await;
    let market = servers
        .market("tls", Claim::Shared(CLAIMS.read().await))
        .await;
    market.declare(Kind::QuorumSingleActive).await;
    let by_variable = ("SSL_CERT_FILE", &*servers.file("authority.pem"));
    let rabbitmq = servers.rabbitmq("localhost", "");
    let mongodb = servers.mongodb("localhost", "tls=true");
    let rabbitmq_login = servers.rabbitmq(
        "localhost",
        "cacertfile=AUTHORITY&certfile=CONSUMER&keyfile=CONSUMER&auth_mechanism=external",
    );
    let mongodb_login = servers.mongodb(
        "localhost",
        "tls=true&tlsCAFile=AUTHORITY&tlsCertificateKeyFile=CONSUMER&authMechanism=MONGODB-X509",
    );
    let mongodb_login = mongodb_login.replace(
        &format!("admin:{}@", servers.secret("mongodb-admin.password")),
        "",
    );
    let other_name = servers.rabbitmq(
        "127.0.0.1",
        "cacertfile=AUTHORITY&server_name_indication=localhost",
    );
    let ways: [&[(&str, &str)]; 4] = [
        &[],
        &[
            ("RABBITMQ_URL", &rabbitmq),
            ("MONGODB_URL", &mongodb),
            by_variable,
        ],
        &[
            ("RABBITMQ_URL", &rabbitmq_login),
            ("MONGODB_URL", &mongodb_login),
        ],
        &[("RABBITMQ_URL", &other_name)],
    ];
    for (number, way) in (0..).zip(ways) {
        let consumer = market.consumer_with(way).await;
        market
            .publish(Some("run"), number * 1000..(number + 1) * 1000)
            .await;
        market.windows(number as usize + 1).await;
        consumer.stop().await;
    }
    let audit = market.audit().await;
    assert!(audit.contains("4 "), "{audit}");
    let environment = [
        ("MONGODB_URL", mongodb.as_str()),
        ("MONGODB_DB", &market.database),
        by_variable,
    ];
    let audit = program(
        &["audit"],
        environment.map(|(name, value)| (name, value.to_owned())),
    )
    .await;
    assert!(audit.status.success(), "{audit:?}");
}

/// Each fault, and what the consumer says. It goes on waiting, and can be asked why.
#[tokio::test]
async fn what_is_wrong_is_said_with_what_helps() {
    let tls = servers().await;
    let market = tls
        .market("tls-faults", Claim::Shared(CLAIMS.read().await))
        .await;
    market.declare(Kind::QuorumSingleActive).await;
    let (plain_rabbitmq, plain_mongodb) =
        (variable("TEST_RABBITMQ_URL"), variable("TEST_MONGODB_URL"));
    let faults: [(&str, String, &[&str]); 11] = [
        (
            "MONGODB_URL",
            tls.mongodb("127.0.0.1", "tls=true&tlsCAFile=AUTHORITY"),
            &[
                "the database's certificate is for",
                "localhost",
                "not for 127.0.0.1: use hosts",
            ],
        ),
        (
            "MONGODB_URL",
            tls.mongodb("localhost", "tls=true&tlsCAFile=OTHER"),
            &[
                "the database's certificate is from an authority",
                "tlsCAFile in MONGODB_URL, or in SSL_CERT_FILE",
            ],
        ),
        (
            "MONGODB_URL",
            tls.mongodb(
                "localhost",
                "tls=true&tlsCAFile=AUTHORITY&tlsCertificateKeyFile=STRANGER",
            ),
            &[
                "the database ends the connection without an answer, or refuses this client's certificate",
                "name it as tlsCertificateKeyFile in MONGODB_URL",
            ],
        ),
        (
            "MONGODB_URL",
            tls.mongodb("localhost", ""),
            &["if it speaks TLS on this port, use tls=true in MONGODB_URL"],
        ),
        (
            "MONGODB_URL",
            format!("{plain_mongodb}&tls=true"),
            &["if it does not speak TLS on this port, remove tls=true from MONGODB_URL"],
        ),
        (
            "MONGODB_URL",
            "mongodb+srv://user:hush@no.such.invalid/".into(),
            &[
                "MONGODB_URL (mongodb+srv) cannot be looked up",
                "no.such.invalid",
            ],
        ),
        (
            "RABBITMQ_URL",
            tls.rabbitmq("127.0.0.1", "cacertfile=AUTHORITY"),
            &[
                "the broker's certificate is for",
                "localhost",
                "not for 127.0.0.1",
                "server_name_indication",
            ],
        ),
        (
            "RABBITMQ_URL",
            tls.rabbitmq("localhost", "cacertfile=OTHER"),
            &[
                "the broker's certificate is from an authority",
                "SSL_CERT_FILE, or as cacertfile in RABBITMQ_URL",
            ],
        ),
        (
            "RABBITMQ_URL",
            tls.rabbitmq(
                "localhost",
                "cacertfile=AUTHORITY&certfile=STRANGER&keyfile=STRANGER",
            ),
            &[
                "the broker ends the connection without an answer, or refuses this client's certificate",
                "certfile and keyfile in RABBITMQ_URL",
            ],
        ),
        (
            "RABBITMQ_URL",
            tls.rabbitmq("localhost", "").replace("amqps", "amqp"),
            &["if it speaks TLS on this port, use amqps:// in RABBITMQ_URL"],
        ),
        (
            "RABBITMQ_URL",
            plain_rabbitmq.replace("amqp:", "amqps:"),
            &["the broker does not speak TLS on this port: use its TLS port"],
        ),
    ];
    join_all(faults.map(async |(variable, url, words)| {
        let mut consumer = market.consumer_with(&[(variable, &url)]).await;
        for word in words {
            consumer.says(word).await;
        }
        // Time for a few more tries, that must have nothing new to say.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let reason = consumer.http("/readyz").await;
        assert!(
            reason.starts_with("HTTP/1.0 503") && reason.contains(words[0]),
            "{reason}"
        );
        let log = consumer.stop().await;
        assert_eq!(log.matches(words[0]).count(), 1, "{log}");
        assert!(!log.contains("hush"), "{log}");
    }))
    .await;
}

#[tokio::test]
async fn it_goes_on_when_expired_certificates_are_renewed() {
    let tls = servers().await;
    let market = tls
        .market("tls-expired", Claim::Alone(CLAIMS.write().await))
        .await;
    market.declare(Kind::QuorumSingleActive).await;
    market.publish(Some("run"), 0..1000).await;
    // A member refuses a certificate that has expired already. Its last second is valid, too.
    let expiry = tls.renew_mongodb(Duration::from_secs(2)).await;
    tls.renew_rabbitmq(Duration::ZERO);
    let expired = expiry + Duration::from_secs(1);
    let left = expired.duration_since(SystemTime::now());
    tokio::time::sleep(left.unwrap_or_default()).await;
    let mut consumer = market.consumer().await;
    consumer
        .says("the database's certificate, or its authority's, expired at 20")
        .await;
    tls.renew_mongodb(HOUR).await;
    consumer
        .says("the broker's certificate, or its authority's, expired at 20")
        .await;
    tls.renew_rabbitmq(HOUR);
    market.windows(1).await;
    let log = consumer.stop().await;
    assert_eq!(log.matches("expired at").count(), 2, "{log}");
}

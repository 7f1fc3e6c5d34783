//! TLS: what the broker's URL says about it, and what to do when the two sides do not agree.

use std::io;
use std::path::{Path, PathBuf};

use bson::DateTime;
use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::{AlertDescription, CertificateError, Error};

/// How to speak TLS with the broker: parameters of its URL's query, named as RabbitMQ names them. Files
/// are in PEM form, and read for each connection.
#[derive(Clone, Debug, Default)]
pub struct BrokerTls {
    /// `cacertfile`: the authorities to trust; by default those of the system, or of `SSL_CERT_FILE`.
    pub authorities: Option<PathBuf>,
    /// `certfile` and `keyfile`: the certificate of this client.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// `server_name_indication`: the host that the broker's certificate must name; by default the URL's.
    pub server_name: Option<String>,
}

impl BrokerTls {
    /// The files that it names, each with its parameter.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let authorities = self.authorities.as_deref().map(|file| ("cacertfile", file));
        let identity = self.identity.iter();
        let identity = identity
            .flat_map(|(certificate, key)| [("certfile", &**certificate), ("keyfile", &**key)]);
        authorities.into_iter().chain(identity)
    }

    /// What makes connections.
    ///
    /// # Errors
    /// When a file cannot be used, by the name of its parameter.
    pub fn connector(&self) -> io::Result<RustlsConnector> {
        let mut config = match &self.authorities {
            None => RustlsConnectorConfig::new_with_native_certs().map_err(|error| {
                let whose = "the authorities of the system, or of SSL_CERT_FILE";
                io::Error::other(format!("{whose}, cannot be read: {error}"))
            })?,
            Some(_) => RustlsConnectorConfig::default(),
        };
        if let Some(file) = &self.authorities {
            config.add_parsable_certificates(certificates("cacertfile", file)?);
        }
        let Some((certificate, key)) = &self.identity else {
            return config.connector_with_no_client_auth();
        };
        let certificate = certificates("certfile", certificate)?;
        let unusable = |error: &dyn std::fmt::Display| {
            io::Error::other(format!("keyfile {} cannot be used: {error}", key.display()))
        };
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(&error))?;
        config
            .connector_with_single_cert(certificate, private)
            .map_err(|error| unusable(&error))
    }
}

fn certificates(parameter: &str, file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let problem = match read {
        Ok(certificates) if certificates.is_empty() => "it holds no certificate".into(),
        Ok(certificates) => return Ok(certificates),
        Err(error) => error.to_string(),
    };
    let file = file.display();
    Err(io::Error::other(format!(
        "{parameter} {file} cannot be used: {problem}"
    )))
}

/// A server, and what its operator can do.
pub struct Peer {
    name: &'static str,
    wrong_host: &'static str,
    unknown_authority: &'static str,
    client_certificate: &'static str,
    without_tls: &'static str,
    with_tls: &'static str,
}

pub const BROKER: Peer = Peer {
    name: "the broker",
    wrong_host: "use a host that it names in RABBITMQ_URL, or name one of them there as \
                 server_name_indication",
    unknown_authority: "name the file of its certificate in SSL_CERT_FILE, or as cacertfile in \
                        RABBITMQ_URL",
    client_certificate: "name it as certfile and keyfile in RABBITMQ_URL",
    without_tls: "use its TLS port in RABBITMQ_URL, usually 5671, or amqp:// without TLS",
    with_tls: "use amqps:// in RABBITMQ_URL",
};

pub const DATABASE: Peer = Peer {
    name: "the database",
    wrong_host: "use hosts that it names in MONGODB_URL, and in the replica set's configuration",
    unknown_authority: "name the file of its certificate as tlsCAFile in MONGODB_URL, or in \
                        SSL_CERT_FILE",
    client_certificate: "name it as tlsCertificateKeyFile in MONGODB_URL",
    without_tls: "remove tls=true from MONGODB_URL",
    with_tls: "use tls=true in MONGODB_URL",
};

impl Peer {
    /// Why a connection failed, and what to do about it, in words that do not change while it lasts. None
    /// if it has nothing to do with TLS. `encrypted` says whether this side speaks TLS.
    pub fn explain(&self, error: &io::Error, encrypted: bool) -> Option<String> {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        match cause {
            Some(Error::InvalidCertificate(invalid)) => Some(self.explain_certificate(invalid)),
            Some(Error::InvalidMessage(_)) => {
                let (name, help) = (self.name, self.without_tls);
                Some(format!("{name} does not speak TLS on this port: {help}"))
            }
            // Whether the alert arrives, or only the end of the connection, is chance.
            Some(Error::AlertReceived(alert)) if is_about_certificate(*alert) => {
                Some(self.explain_end(encrypted))
            }
            Some(other) => Some(format!("TLS with {} fails: {other}", self.name)),
            None => is_end(error).then(|| self.explain_end(encrypted)),
        }
    }

    /// What it may mean that the other side ends the connection, or answers what it should not.
    pub fn explain_end(&self, encrypted: bool) -> String {
        let name = self.name;
        if !encrypted {
            let help = self.with_tls;
            return format!(
                "{name} ends the connection without an answer: if it speaks TLS on this port, {help}"
            );
        }
        format!(
            "{name} ends the connection without an answer, or refuses this client's certificate: if it \
             asks for one, {}; if it does not speak TLS on this port, {}",
            self.client_certificate, self.without_tls
        )
    }

    fn explain_certificate(&self, error: &CertificateError) -> String {
        let certificate = format!("{}'s certificate", self.name);
        match error {
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } => format!(
                "{certificate} is for {}, not for {}: {}",
                presented
                    .iter()
                    .map(|name| plain(name))
                    .collect::<Vec<_>>()
                    .join(", "),
                expected.to_str(),
                self.wrong_host
            ),
            CertificateError::NotValidForName => {
                format!("{certificate} is for another host: {}", self.wrong_host)
            }
            // The second if another authority has the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
                "{certificate} is from an authority that is not trusted here: if it is yours, {}",
                self.unknown_authority
            ),
            CertificateError::ExpiredContext { not_after, .. } => format!(
                "{certificate}, or its authority's, expired at {}: renew it",
                date(*not_after)
            ),
            CertificateError::NotValidYetContext { not_before, .. } => format!(
                "{certificate}, or its authority's, is not valid before {}: is this machine's clock right?",
                date(*not_before)
            ),
            other => format!("{certificate} is not accepted: {other}"),
        }
    }
}

/// The name in a description such as `DnsName("broker.example")`.
fn plain(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

/// Whether the other side does not like this side's certificate, or that there is none.
fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
    )
}

/// Whether the other side closed the connection.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

fn date(time: UnixTime) -> String {
    let date = DateTime::from_millis(time.as_secs() as i64 * 1000);
    date.try_to_rfc3339_string().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn explain(error: Error) -> Option<String> {
        BROKER.explain(&io::Error::other(error), true)
    }

    #[test]
    fn an_expired_certificate_is_explained_in_the_same_words_each_time() {
        let second = |second| UnixTime::since_unix_epoch(Duration::from_secs(second));
        let expired = |now| {
            Error::InvalidCertificate(CertificateError::ExpiredContext {
                time: second(now),
                not_after: second(1_700_000_000),
            })
        };
        let explanation = explain(expired(1_700_000_010));
        assert_eq!(explanation, explain(expired(1_700_000_020)));
        assert!(explanation.is_some_and(|told| told.contains("expired at 2023-11-14T22:13:20Z")));
        let too_early = Error::InvalidCertificate(CertificateError::NotValidYetContext {
            time: second(0),
            not_before: second(1_700_000_000),
        });
        assert!(explain(too_early).is_some_and(|told| told.contains("clock")));
    }

    #[test]
    fn a_lost_alert_is_explained_as_the_alert_is() {
        let alert = explain(Error::AlertReceived(AlertDescription::UnknownCA));
        let lost = BROKER.explain(&io::ErrorKind::ConnectionReset.into(), true);
        assert_eq!(alert, lost);
        let other = explain(Error::AlertReceived(AlertDescription::ProtocolVersion));
        assert!(other.is_some_and(|told| told.contains("ProtocolVersion")));
    }

    #[test]
    fn what_has_nothing_to_do_with_tls_is_not_explained() {
        let refused = io::ErrorKind::ConnectionRefused.into();
        assert_eq!(BROKER.explain(&refused, true), None);
        assert_eq!(DATABASE.explain(&refused, false), None);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_its_parameter() {
        let this = PathBuf::from(file!());
        for (tls, parameter) in [
            (
                BrokerTls {
                    authorities: Some(this.clone()),
                    ..Default::default()
                },
                "cacertfile",
            ),
            (
                BrokerTls {
                    identity: Some((this.clone(), this.clone())),
                    ..Default::default()
                },
                "certfile",
            ),
        ] {
            let error = tls.connector().expect_err("no certificate").to_string();
            let named = format!(
                "{parameter} {} cannot be used: it holds no certificate",
                file!()
            );
            assert_eq!(error, named);
        }
    }
}

//! One trade: the rules for a message body, and which one an invalid trade breaks.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Which side of the market a trade was on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    Buy,
    Sell,
}

/// A valid trade of the queue's company.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trade {
    pub event_type: EventType,
    /// Finite and above 0.
    pub price: f64,
}

/// Why a trade is invalid: the first rule that it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the body has {size} bytes, more than the limit of {limit}")]
    TooLarge { size: usize, limit: usize },
    #[error("the body is not JSON")]
    NotJson,
    #[error("the body is not a JSON object")]
    NotAnObject,
    #[error("the field `{0}` is missing")]
    MissingField(&'static str),
    #[error("the field `{0}` has the wrong type")]
    WrongType(&'static str),
    #[error("`eventType` is neither `buy` nor `sell`")]
    UnknownEventType,
    #[error("`price` is not above 0")]
    PriceNotPositive,
    #[error("`price` is not finite")]
    PriceNotFinite,
    #[error("`company` is not the company of this queue")]
    WrongCompany,
    /// The only one that is not about the body: the trade is valid, but comes so late that nobody can
    /// tell any more whether it has been counted.
    #[error("the trade is older than what is remembered of its epoch: it may have been counted")]
    TooLate,
}

impl Rejection {
    /// The name of the broken rule, in the message header and in the metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::NotJson => "not-json",
            Self::NotAnObject => "not-an-object",
            Self::MissingField(_) => "missing-field",
            Self::WrongType(_) => "wrong-type",
            Self::UnknownEventType => "unknown-event-type",
            Self::PriceNotPositive => "price-not-positive",
            Self::PriceNotFinite => "price-not-finite",
            Self::WrongCompany => "wrong-company",
            Self::TooLate => "too-late",
        }
    }
}

/// The rules for all trades of one queue.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The company whose trades the queue carries.
    pub company: String,
    /// The size of the largest valid body, in bytes.
    pub max_body_bytes: usize,
}

/// The fields of a body, borrowed from it, for the common case of a well-formed trade.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    company: Cow<'a, str>,
    #[serde(borrow, rename = "eventType")]
    event_type: Cow<'a, str>,
    price: f64,
}

impl Rules {
    /// Reads a message body.
    ///
    /// Ignores fields other than `company`, `eventType` and `price`. The last one of repeated fields
    /// counts.
    ///
    /// # Errors
    /// The first rule that the body breaks, in the order of [`Rejection`].
    pub fn parse(&self, body: &[u8]) -> Result<Trade, Rejection> {
        if body.len() > self.max_body_bytes {
            return Err(Rejection::TooLarge {
                size: body.len(),
                limit: self.max_body_bytes,
            });
        }
        match serde_json::from_slice::<Fields>(body) {
            // Serde would also read an array of the three values.
            Ok(fields) if body.trim_ascii_start().starts_with(b"{") => self.check(&fields),
            // Slower, but names the broken rule.
            _ => self.check(&examine(body)?),
        }
    }

    fn check(&self, fields: &Fields) -> Result<Trade, Rejection> {
        let event_type = match fields.event_type.as_ref() {
            "buy" => EventType::Buy,
            "sell" => EventType::Sell,
            _ => return Err(Rejection::UnknownEventType),
        };
        if fields.price <= 0.0 {
            return Err(Rejection::PriceNotPositive);
        }
        if !fields.price.is_finite() {
            return Err(Rejection::PriceNotFinite);
        }
        if fields.company != self.company {
            return Err(Rejection::WrongCompany);
        }
        Ok(Trade {
            event_type,
            price: fields.price,
        })
    }
}

/// Reads the fields one by one, so that the first broken rule can be named.
fn examine(body: &[u8]) -> Result<Fields<'_>, Rejection> {
    let json: &RawValue = serde_json::from_slice(body).map_err(|_| Rejection::NotJson)?;
    let object: HashMap<Cow<str>, &RawValue> =
        serde_json::from_str(json.get()).map_err(|_| Rejection::NotAnObject)?;
    let field = |name| {
        object
            .get(name)
            .map(|raw| raw.get())
            .ok_or(Rejection::MissingField(name))
    };
    Ok(Fields {
        company: text("company", field("company")?)?,
        event_type: text("eventType", field("eventType")?)?,
        price: number("price", field("price")?)?,
    })
}

fn text<'a>(name: &'static str, json: &'a str) -> Result<Cow<'a, str>, Rejection> {
    serde_json::from_str::<String>(json)
        .map(Cow::Owned)
        .map_err(|_| Rejection::WrongType(name))
}

/// A JSON number outside the range of a double (`1e999`) is read as infinite.
fn number(name: &'static str, json: &str) -> Result<f64, Rejection> {
    json.parse().map_err(|_| Rejection::WrongType(name))
}

/// The `type` of messages whose `message_id` is an identity.
pub const MESSAGE_TYPE: &str = "stockmarket.trade.v1";

/// The longest name of an epoch, in bytes. A document lists epochs by name, and must stay small.
pub const LONGEST_EPOCH: usize = 64;

/// Which trade this is: the position in the stream of one run of one publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Unique to one run of one publisher and queue. At most [`LONGEST_EPOCH`] bytes.
    pub epoch: &'a str,
    /// Counts 0, 1, 2, … within the epoch. At most `i64::MAX`, so that a database can hold it.
    pub sequence: u64,
}

impl<'a> Identity<'a> {
    /// Reads the identity from a message's `type` and `message_id`.
    ///
    /// Publishers use `message_id` for whatever they like. It is an identity only if the type is
    /// [`MESSAGE_TYPE`] and it reads `<epoch>:<sequence>`. Without an identity a trade is counted as
    /// often as it comes, which is not an error.
    pub fn read(message_type: Option<&str>, message_id: Option<&'a str>) -> Option<Self> {
        if message_type != Some(MESSAGE_TYPE) {
            return None;
        }
        let (epoch, sequence) = message_id?.rsplit_once(':')?;
        let sequence = sequence.parse().ok()?;
        let is_valid = (1..=LONGEST_EPOCH).contains(&epoch.len()) && sequence <= i64::MAX as u64;
        is_valid.then_some(Self { epoch, sequence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Trade, Rejection> {
        let rules = Rules {
            company: "MSFT".into(),
            max_body_bytes: 200,
        };
        rules.parse(body.as_bytes())
    }

    #[test]
    fn a_trade_is_read() {
        let trade = Trade {
            event_type: EventType::Buy,
            price: 312.0471,
        };
        for body in [
            r#"{"company":"MSFT","eventType":"buy","price":312.0471}"#,
            r#" { "price" : 3.120471e2, "eventType":"buy", "company":"MSFT" } "#,
            r#"{"company":"MSFT","eventType":"buy","price":312.0471,"venue":{"id":[1,null]}}"#,
            r#"{"company":"\u004dSFT","eventType":"buy","price":312.0471}"#,
            r#"{"company":"MSFT","eventType":"buy","price":0,"price":312.0471}"#,
        ] {
            assert_eq!(parse(body), Ok(trade), "{body}");
        }
        let sell = parse(r#"{"company":"MSFT","eventType":"sell","price":7}"#);
        assert_eq!(sell.map(|t| t.event_type), Ok(EventType::Sell));
    }

    #[test]
    fn each_broken_rule_is_named() {
        use Rejection::*;
        let long = format!(r#"{{"company":"MSFT","x":"{}"}}"#, "x".repeat(200));
        let cases = [
            (
                long.as_str(),
                TooLarge {
                    size: long.len(),
                    limit: 200,
                },
            ),
            ("", NotJson),
            ("hello", NotJson),
            (
                r#"{"company":"MSFT","eventType":"buy","price":NaN}"#,
                NotJson,
            ),
            (
                r#"{"company":"MSFT","eventType":"buy","price":1} {}"#,
                NotJson,
            ),
            (
                r#"{"company":"MSFT","eventType":"buy","price":01}"#,
                NotJson,
            ),
            ("null", NotAnObject),
            (r#"["MSFT","buy",1]"#, NotAnObject),
            ("17", NotAnObject),
            ("{}", MissingField("company")),
            (r#"{"company":"MSFT","price":1}"#, MissingField("eventType")),
            (
                r#"{"company":"MSFT","eventType":"buy"}"#,
                MissingField("price"),
            ),
            (
                r#"{"Company":"MSFT","eventType":"buy","price":1}"#,
                MissingField("company"),
            ),
            (
                r#"{"company":1,"eventType":"buy","price":1}"#,
                WrongType("company"),
            ),
            (
                r#"{"company":null,"eventType":"buy","price":1}"#,
                WrongType("company"),
            ),
            (
                r#"{"company":"MSFT","eventType":true,"price":1}"#,
                WrongType("eventType"),
            ),
            (
                r#"{"company":"MSFT","eventType":"buy","price":"1"}"#,
                WrongType("price"),
            ),
            (
                r#"{"company":"MSFT","eventType":"buy","price":null}"#,
                WrongType("price"),
            ),
            (
                r#"{"company":"MSFT","eventType":"buy","price":[1]}"#,
                WrongType("price"),
            ),
            (
                r#"{"company":"MSFT","eventType":"BUY","price":1}"#,
                UnknownEventType,
            ),
            (
                r#"{"company":"MSFT","eventType":"","price":1}"#,
                UnknownEventType,
            ),
            (
                r#"{"company":"MSFT","eventType":"buy","price":0}"#,
                PriceNotPositive,
            ),
            (
                r#"{"company":"MSFT","eventType":"buy","price":-0.0}"#,
                PriceNotPositive,
            ),
            (
                r#"{"company":"MSFT","eventType":"buy","price":-3.5}"#,
                PriceNotPositive,
            ),
            (
                r#"{"company":"MSFT","eventType":"buy","price":-1e999}"#,
                PriceNotPositive,
            ),
            (
                r#"{"company":"MSFT","eventType":"buy","price":1e999}"#,
                PriceNotFinite,
            ),
            (
                r#"{"company":"msft","eventType":"buy","price":1}"#,
                WrongCompany,
            ),
            (
                r#"{"company":"","eventType":"buy","price":1}"#,
                WrongCompany,
            ),
        ];
        for (body, rejection) in cases {
            assert_eq!(parse(body), Err(rejection), "{body}");
        }
        assert_eq!(
            Rules {
                company: "MSFT".into(),
                max_body_bytes: 9
            }
            .parse(b"\"\xff\xfe\""),
            Err(NotJson),
            "a body that is not UTF-8"
        );
    }

    #[test]
    fn an_identity_is_an_epoch_and_a_sequence() {
        let identity =
            |id| Identity::read(Some(MESSAGE_TYPE), Some(id)).map(|i| (i.epoch, i.sequence));
        assert_eq!(identity("run-7:0"), Some(("run-7", 0)));
        assert_eq!(identity("a:b:42"), Some(("a:b", 42)));
        assert_eq!(
            identity("e:9223372036854775807"),
            Some(("e", i64::MAX as u64))
        );
        let long = format!("{}:1", "e".repeat(LONGEST_EPOCH + 1));
        for other in [
            "",
            ":",
            ":1",
            "e:",
            "e:x",
            "e:-1",
            "42",
            "e:9223372036854775808",
            "e:1 ",
            &long,
        ] {
            assert_eq!(identity(other), None, "{other:?}");
        }
        assert_eq!(Identity::read(Some(MESSAGE_TYPE), None), None);
    }

    #[test]
    fn a_message_id_is_an_identity_only_where_the_type_says_so() {
        for other in [None, Some(""), Some("trade"), Some("stockmarket.trade.v2")] {
            assert_eq!(Identity::read(other, Some("order:17")), None, "{other:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_the_parser_panic(body: Vec<u8>) {
            let rules = Rules { company: "MSFT".into(), max_body_bytes: 1 << 16 };
            let _ = rules.parse(&body);
        }

        #[test]
        fn every_positive_price_survives(price in proptest::num::f64::POSITIVE | proptest::num::f64::SUBNORMAL) {
            let price = price.abs();
            proptest::prop_assume!(price > 0.0 && price.is_finite());
            let body = format!(r#"{{"company":"MSFT","eventType":"buy","price":{price:?}}}"#);
            proptest::prop_assert_eq!(parse(&body).map(|trade| trade.price), Ok(price), "{}", body);
        }
    }
}

//! Deliveries as they came: read where they lie, without an allocation for each.

use std::str;

use lapin::BasicProperties;
use lapin::protocol::basic::parse_properties;

/// Some deliveries of one queue, in order.
#[derive(Debug, Default)]
pub struct Group {
    /// Of each delivery its properties, as AMQP encodes them, and its body.
    bytes: Vec<u8>,
    records: Vec<Record>,
}

/// Where a delivery lies: it begins where the one before ends.
#[derive(Debug)]
struct Record {
    delivery_tag: u64,
    redelivered: bool,
    properties_end: usize,
    end: usize,
}

impl Group {
    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many bytes there are, those of an unfinished delivery included.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = Delivery<'_>> {
        let mut begin = 0;
        self.records.iter().map(move |record| {
            let delivery = Delivery {
                delivery_tag: record.delivery_tag,
                redelivered: record.redelivered,
                properties: Properties(&self.bytes[begin..record.properties_end]),
                data: &self.bytes[record.properties_end..record.end],
            };
            begin = record.end;
            delivery
        })
    }

    /// Adds bytes of the next delivery.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Ends a delivery whose body has so many bytes.
    pub fn finish(&mut self, delivery_tag: u64, redelivered: bool, body: usize) {
        let end = self.bytes.len();
        self.records.push(Record {
            delivery_tag,
            redelivered,
            properties_end: end.saturating_sub(body),
            end,
        });
    }

    /// Takes what is finished, and leaves what is not.
    pub fn take_finished(&mut self) -> Self {
        let end = self.records.last().map_or(0, |last| last.end);
        let unfinished = Self {
            bytes: self.bytes.split_off(end),
            records: Vec::new(),
        };
        std::mem::replace(self, unfinished)
    }
}

/// A message, and where it stands in the order of a channel.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    pub delivery_tag: u64,
    pub redelivered: bool,
    pub properties: Properties<'a>,
    pub data: &'a [u8],
}

/// A message's properties, as AMQP encodes them: which ones there are, and their values.
#[derive(Clone, Copy, Debug)]
pub struct Properties<'a>(pub &'a [u8]);

/// The properties that matter for each trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks<'a> {
    pub kind: Option<&'a str>,
    pub message_id: Option<&'a str>,
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
}

impl<'a> Properties<'a> {
    pub fn marks(self) -> Marks<'a> {
        let mut marks = Marks::default();
        // What cannot be read marks nothing.
        let _ = self.read(&mut marks);
        marks
    }

    /// Reads property by property, in the order of AMQP. None if the encoding is damaged.
    fn read(self, marks: &mut Marks<'a>) -> Option<()> {
        let mut values = Values(self.0);
        let present = values.u16()?;
        let has = |index: u16| present & (1 << (15 - index)) != 0;
        // content-type, content-encoding
        for _ in (0..2).filter(|index| has(*index)) {
            values.short_string()?;
        }
        if has(2) {
            let headers = values.u32()?;
            values.bytes(headers as usize)?;
        }
        // delivery-mode, priority
        for _ in (3..5).filter(|index| has(*index)) {
            values.bytes(1)?;
        }
        // correlation-id, reply-to, expiration
        for _ in (5..8).filter(|index| has(*index)) {
            values.short_string()?;
        }
        if has(8) {
            marks.message_id = str::from_utf8(values.short_string()?).ok();
        }
        if has(9) {
            marks.timestamp = Some(values.u64()?);
        }
        if has(10) {
            marks.kind = str::from_utf8(values.short_string()?).ok();
        }
        Some(())
    }

    /// All properties; none if the encoding is damaged.
    pub fn decode(self) -> BasicProperties {
        parse_properties(self.0)
            .map(|(_, properties)| properties)
            .unwrap_or_default()
    }
}

/// Reads values of AMQP one after the other. None where the bytes end too early.
pub struct Values<'a>(pub &'a [u8]);

impl<'a> Values<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*value)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    pub fn short_string(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.bytes(length.into())
    }
}

#[cfg(test)]
mod tests {
    use lapin::types::{AMQPValue, FieldTable};
    use proptest::prelude::*;

    use super::*;

    /// Properties as a broker sends them.
    fn encode(properties: &BasicProperties) -> Vec<u8> {
        lapin::protocol::basic::gen_properties(properties)(Vec::new().into())
            .expect("room")
            .write
    }

    fn text() -> impl Strategy<Value = Option<String>> {
        prop::option::of(".{0,20}")
    }

    proptest! {
        #[test]
        fn the_marks_are_those_of_the_properties(
            texts in prop::collection::vec(text(), 11),
            numbers in prop::option::of((any::<u8>(), any::<u8>(), any::<u64>())),
            header in prop::option::of(any::<u32>()),
        ) {
            let mut properties = BasicProperties::default();
            let with = [
                BasicProperties::with_content_type,
                BasicProperties::with_content_encoding,
                BasicProperties::with_correlation_id,
                BasicProperties::with_reply_to,
                BasicProperties::with_expiration,
                BasicProperties::with_message_id,
                BasicProperties::with_type,
                BasicProperties::with_user_id,
                BasicProperties::with_app_id,
                BasicProperties::with_cluster_id,
            ];
            for (with, text) in std::iter::zip(with, &texts) {
                if let Some(text) = text {
                    properties = with(properties, text.as_str().into());
                }
            }
            if let Some((mode, priority, timestamp)) = numbers {
                properties = properties
                    .with_delivery_mode(mode)
                    .with_priority(priority)
                    .with_timestamp(timestamp);
            }
            if let Some(value) = header {
                let mut headers = FieldTable::default();
                headers.insert("x-delivery-count".into(), AMQPValue::LongUInt(value));
                properties = properties.with_headers(headers);
            }
            let bytes = encode(&properties);
            let expected = Marks {
                kind: texts[6].as_deref(),
                message_id: texts[5].as_deref(),
                timestamp: numbers.map(|(_, _, timestamp)| timestamp),
            };
            prop_assert_eq!(Properties(&bytes).marks(), expected);
            prop_assert_eq!(Properties(&bytes).decode(), properties);
        }

        #[test]
        fn damaged_properties_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            Properties(&bytes).marks();
            Properties(&bytes).decode();
        }
    }
}

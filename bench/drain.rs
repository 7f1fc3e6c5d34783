//! What the benchmark needs beside clients that do the whole job: it prepares queues of trades, and drains
//! them by looking at nothing but the kinds and sizes of frames, which shows the limit of the broker.
//!
//! `make bench` calls it with one of the steps: see [`step`].

use std::error::Error;
use std::io::{BufWriter, Read, Write};
use std::net::TcpStream;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lapin::uri::AMQPUri;

type Outcome<T> = Result<T, Box<dyn Error>>;

const WINDOW: u64 = 1000;
/// As many as the consumer holds: 16 windows in flight and an open one.
const PREFETCH: u16 = 17_000;

/// A queue and its trades, as one of the publishers makes them.
#[derive(Clone, Copy)]
enum Kind {
    /// Ours with `QUEUE_TYPE=classic`: persistent trades with their ids.
    Classic,
    /// Ours as it comes: the same trades in a quorum queue.
    Quorum,
    /// The original's: trades without any property in a queue that is not durable.
    Original,
    /// As the original's, with ids of another publisher's making, by the trade's number.
    Foreign(fn(u64) -> String),
}

const KINDS: [(&str, Kind); 8] = [
    ("classic", Kind::Classic),
    ("quorum", Kind::Quorum),
    ("original", Kind::Original),
    ("order", Kind::Foreign(|_| "order:17".into())),
    (
        "time",
        Kind::Foreign(|number| format!("2024-08-13T10:15:{:02}", number % 60)),
    ),
    ("uuid", Kind::Foreign(|number| format!("{number:032x}:0"))),
    ("number", Kind::Foreign(|number| number.to_string())),
    ("urn", Kind::Foreign(|_| "urn:trade:1:1".into())),
];

struct Measured {
    trades_per_second: f64,
    cpu_microseconds_per_trade: f64,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        // `cargo test --benches` only wants to know whether it runs.
        [.., "--test"] => Ok(()),
        [name, arguments @ ..] => step(name, arguments),
        [] => Err("make bench measures".into()),
    }
}

/// Does one step:
///
/// - `prepare QUEUE KIND TRADES` fills the queue,
/// - `skip QUEUE TRADES` drains it and prints what that took, as JSON,
/// - `count QUEUE` prints how many trades are in it, and fails when it does not exist,
/// - `delete QUEUE…` deletes queues.
fn step(name: &str, arguments: &[&str]) -> Outcome<()> {
    match (name, arguments) {
        ("prepare", [queue, kind, trades]) => prepare(queue, kind_of(kind)?, trades.parse()?),
        ("skip", [queue, trades]) => {
            let trades = trades.parse()?;
            let skipped = skip(queue, trades)?;
            let status = std::fs::read_to_string("/proc/self/status")?;
            let sum = |names: &[&str]| -> u64 {
                let values = status.lines().filter_map(|line| line.split_once(':'));
                let values = values.filter(|(name, _)| names.contains(name));
                let numbers = values.filter_map(|(_, text)| text.split_whitespace().next());
                numbers
                    .filter_map(|number| number.parse::<u64>().ok())
                    .sum()
            };
            println!(
                r#"{{"tradesPerSecond":{},"cpuMicrosecondsPerTrade":{},"contextSwitches":{},"peakKilobytes":{}}}"#,
                skipped.trades_per_second,
                skipped.cpu_microseconds_per_trade,
                sum(&["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"]),
                sum(&["VmHWM"]),
            );
            Ok(())
        }
        ("count", [queue]) => {
            println!("{}", count(queue)?);
            Ok(())
        }
        ("delete", queues) => queues.iter().try_for_each(|queue| delete(queue)),
        _ => Err(format!("no such step: {name} {}", arguments.join(" ")).into()),
    }
}

fn kind_of(name: &str) -> Outcome<Kind> {
    let known = KINDS.iter().find(|(known, _)| *known == name);
    Ok(known
        .ok_or_else(|| format!("no such kind of queue: {name}"))?
        .1)
}

/// Drains a queue by looking at nothing but the frames' kinds and sizes.
fn skip(queue: &str, trades: u64) -> Outcome<Measured> {
    let mut wire = Wire::connect()?;
    wire.call(
        60,
        10,
        &[&[0; 4][..], &PREFETCH.to_be_bytes(), &[0]].concat(),
    )?;
    let cpu = cpu_time("self")?;
    wire.call(
        60,
        20,
        &[&[0; 2][..], &short(queue), &short(""), &[0], &[0; 4]].concat(),
    )?;
    let (mut seen, mut first, mut buffer, mut filled) = (0u64, None, vec![0u8; 1 << 20], 0);
    while seen < trades {
        filled += match wire.stream.read(&mut buffer[filled..])? {
            0 => return Err("the broker closed the connection".into()),
            read => read,
        };
        let mut at = 0;
        while filled - at >= 8 {
            let size = u32::from_be_bytes([
                buffer[at + 3],
                buffer[at + 4],
                buffer[at + 5],
                buffer[at + 6],
            ]) as usize;
            if filled - at < size + 8 {
                break;
            }
            // A body: the prepared ones fit into one frame.
            if buffer[at] == 3 {
                seen += 1;
                if seen.is_multiple_of(WINDOW) {
                    first.get_or_insert_with(Instant::now);
                    wire.method(1, 60, 80, &[&seen.to_be_bytes()[..], &[1]].concat())?;
                    wire.out.flush()?;
                }
            }
            at += size + 8;
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
    }
    let elapsed = first.ok_or("no window")?.elapsed();
    let cpu = cpu_time("self")? - cpu;
    wire.call(20, 40, &[0; 7])?;
    Ok(Measured {
        trades_per_second: (trades - WINDOW) as f64 / elapsed.as_secs_f64(),
        cpu_microseconds_per_trade: cpu.as_secs_f64() * 1e6 / trades as f64,
    })
}

/// Fills an empty queue with trades.
fn prepare(queue: &str, kind: Kind, trades: u64) -> Outcome<()> {
    let mut wire = Wire::connect()?;
    let (durable, arguments) = match kind {
        Kind::Original | Kind::Foreign(_) => (0, vec![]),
        Kind::Classic => (0b10, single_active_consumer()),
        Kind::Quorum => {
            let quorum = [
                &short("x-queue-type")[..],
                b"S",
                &6u32.to_be_bytes(),
                b"quorum",
            ];
            (0b10, [single_active_consumer(), quorum.concat()].concat())
        }
    };
    let declare = [
        &[0; 2][..],
        &short(queue),
        &[durable],
        &(arguments.len() as u32).to_be_bytes(),
        &arguments,
    ];
    wire.call(50, 10, &declare.concat())?;
    wire.call(50, 30, &[&[0; 2][..], &short(queue), &[0]].concat())?;
    wire.call(85, 10, &[0])?;
    let epoch = format!(
        "{:032x}",
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos()
    );
    let mut confirmed = 0;
    for sequence in 0..trades {
        let side = if sequence.is_multiple_of(2) {
            "buy"
        } else {
            "sell"
        };
        let price = 50.0 + (sequence * 7919 % 5_000_000) as f64 / 1e4;
        let body = format!(r#"{{"company":"MSFT","eventType":"{side}","price":{price}}}"#);
        wire.method(
            1,
            60,
            40,
            &[&[0; 2][..], &short(""), &short(queue), &[0]].concat(),
        )?;
        let size = (body.len() as u64).to_be_bytes();
        let properties = match kind {
            Kind::Original => vec![0; 2],
            Kind::Foreign(id) => [&(1u16 << 7).to_be_bytes()[..], &short(&id(sequence))].concat(),
            // Content type, delivery mode, message id, timestamp, type, application.
            Kind::Classic | Kind::Quorum => [
                &(1u16 << 15 | 1 << 12 | 1 << 7 | 1 << 6 | 1 << 5 | 1 << 3).to_be_bytes()[..],
                &short("application/json"),
                &[2],
                &short(&format!("{epoch}:{sequence}")),
                &1_700_000_000u64.to_be_bytes(),
                &short("stockmarket.trade.v1"),
                &short("stock-publisher"),
            ]
            .concat(),
        };
        let header = [&60u16.to_be_bytes()[..], &[0; 2], &size, &properties];
        wire.frame(2, 1, &header.concat())?;
        wire.frame(3, 1, body.as_bytes())?;
        // A few thousand at a time, so that the broker does not run out of memory.
        if sequence % 5000 == 4999 || sequence + 1 == trades {
            wire.out.flush()?;
            while confirmed < sequence + 1 {
                let (_, confirm) = wire.read_frame()?;
                confirmed = u64::from_be_bytes(confirm[4..12].try_into()?);
            }
        }
    }
    wire.call(20, 40, &[0; 7])?;
    Ok(())
}

fn delete(queue: &str) -> Outcome<()> {
    let mut wire = Wire::connect()?;
    wire.call(50, 40, &[&[0; 2][..], &short(queue), &[0]].concat())?;
    wire.call(20, 40, &[0; 7])
}

/// How many trades wait in a queue. Fails when it does not exist.
fn count(queue: &str) -> Outcome<u32> {
    let mut wire = Wire::connect()?;
    let passively = [&[0; 2][..], &short(queue), &[1], &[0; 4]];
    wire.method(1, 50, 10, &passively.concat())?;
    wire.out.flush()?;
    let (_, answer) = wire.read_frame()?;
    let waiting = answer
        .strip_prefix(&[0, 50, 0, 11])
        .and_then(|answer| answer.get(1 + queue.len()..)?.first_chunk());
    let waiting = waiting.ok_or_else(|| String::from_utf8_lossy(&answer).into_owned())?;
    Ok(u32::from_be_bytes(*waiting))
}

/// An argument of a queue's declaration.
fn single_active_consumer() -> Vec<u8> {
    [&short("x-single-active-consumer")[..], b"t", &[1]].concat()
}

/// A connection that speaks just enough AMQP 0-9-1, with one channel.
struct Wire {
    stream: TcpStream,
    out: BufWriter<TcpStream>,
}

impl Wire {
    fn connect() -> Outcome<Self> {
        let url = AMQPUri::from_str(&std::env::var("TEST_RABBITMQ_URL")?)?;
        let stream = TcpStream::connect((url.authority.host.as_str(), url.authority.port))?;
        let mut wire = Self {
            out: BufWriter::with_capacity(1 << 18, stream.try_clone()?),
            stream,
        };
        wire.out.write_all(b"AMQP\x00\x00\x09\x01")?;
        wire.out.flush()?;
        wire.read_frame()?;
        let user = &url.authority.userinfo;
        let login = format!("\0{}\0{}", user.username, user.password);
        let login = [&(login.len() as u32).to_be_bytes()[..], login.as_bytes()].concat();
        let start_ok = [&[0; 4][..], &short("PLAIN"), &login, &short("en_US")].concat();
        wire.method(0, 10, 11, &start_ok)?;
        wire.out.flush()?;
        wire.read_frame()?;
        wire.method(
            0,
            10,
            31,
            &[&1u16.to_be_bytes()[..], &131_072u32.to_be_bytes(), &[0; 2]].concat(),
        )?;
        wire.method(0, 10, 40, &[&short(&url.vhost)[..], &[0; 2]].concat())?;
        wire.out.flush()?;
        wire.read_frame()?;
        wire.call(20, 10, &[0])?;
        Ok(wire)
    }

    /// Sends a method on the channel, and waits for the answer.
    fn call(&mut self, class: u16, method: u16, arguments: &[u8]) -> Outcome<()> {
        self.method(1, class, method, arguments)?;
        self.out.flush()?;
        let (channel, answer) = self.read_frame()?;
        let expected = [class.to_be_bytes(), (method + 1).to_be_bytes()].concat();
        if channel == 1 && answer.starts_with(&expected) {
            return Ok(());
        }
        Err(format!(
            "the broker refused {class}.{method}: {}",
            String::from_utf8_lossy(&answer)
        )
        .into())
    }

    fn method(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) -> Outcome<()> {
        self.frame(
            1,
            channel,
            &[&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat(),
        )
    }

    fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) -> Outcome<()> {
        self.out.write_all(&[kind])?;
        self.out.write_all(&channel.to_be_bytes())?;
        self.out.write_all(&(payload.len() as u32).to_be_bytes())?;
        self.out.write_all(payload)?;
        self.out.write_all(&[0xce])?;
        Ok(())
    }

    fn read_frame(&mut self) -> Outcome<(u16, Vec<u8>)> {
        let mut head = [0; 7];
        self.stream.read_exact(&mut head)?;
        let mut payload =
            vec![0; u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize + 1];
        self.stream.read_exact(&mut payload)?;
        payload.pop();
        Ok((u16::from_be_bytes([head[1], head[2]]), payload))
    }
}

/// An AMQP short string.
fn short(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

/// User and system time of a process so far, to a hundredth of a second.
fn cpu_time(process: &str) -> Outcome<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let after_name = stat.rsplit_once(')').ok_or("no process name")?.1;
    let ticks = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse::<u64>);
    Ok(Duration::from_millis(ticks.sum::<Result<u64, _>>()? * 10))
}

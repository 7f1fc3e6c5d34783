//! The consumer against a real broker and a real replica set, which `tests/with-servers` starts.

mod audit;
mod averages;
mod command_line;
mod faults;
mod groups;
mod market;
mod rejected;
mod retention;
mod strangers;
mod tls;

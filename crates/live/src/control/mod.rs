//! Who may ask and change: the control socket (docs/control.md).
//!
//! ```text
//! palisade status ─┐  request   ┌ Server: who is it, how much, how long ─ Control: the gate between two batches
//! iptables -A …   ─┼──────────► │
//! palisade reload ─┘ ◄───────── └ answers, in frames, while nothing is locked
//! ```
//!
//! # Life cycle
//! [`Socket::bind`] makes the socket and takes over what a dead process left; [`Server::start`] serves it until the gate
//! stops; with the server the socket's file goes. Each client has a thread for one request ([`frame`]).
//!
//! # Locking
//! The gate's lock is held while something is asked of the engine or done to it, never while a client is read from or
//! written to.
//!
//! # Bounds
//! What a client may cost is in [`Bounds`] and [`frame`]: how many, how long, how many bytes. Who may nothing
//! ([`Access`]) is not read from at all. No file is opened for a client: it sends texts and gets texts.

mod access;
mod carry;
mod change;
mod client;
mod conntrack;
pub mod frame;
mod judgement;
pub mod message;
mod protect;
mod restored;
mod server;
mod service;
mod shadow;
mod socket;
#[cfg(test)]
mod tests;
pub mod top;
mod watchers;

pub use access::{Access, Peer, Rights};
pub use change::Refusal;
pub use client::{AskError, Asked, ask};
pub use server::{Bounds, Server};
pub use service::{Control, Facts};
pub use socket::{BindError, DEFAULT_PATH, Socket};

//! Palisade on live traffic.
//!
//! Three things, kept apart: where packets come from and what may be done with them ([`backend`]), who decides
//! ([`Gate`], the engine behind one lock), and who may ask and change ([`control`]).
//!
//! ```text
//! backend.receive -> Batch -> Gate::judge -> Batch -> backend.conclude
//!                               ^
//!                 control socket, reload, snapshots: Gate::with
//! ```
//!
//! # Life cycle
//! A [`Gate`] is made from an engine and lives as long as the process. Each worker thread owns a backend and hands its
//! batches to the gate ([`Workers`], [`work`]). Rules are swapped in the gate between two batches, so that no packet is judged by half a
//! ruleset.
//!
//! # Locking
//! One lock, the gate's, taken once a batch: an engine needs a few hundred nanoseconds a packet, the ways in and out of
//! user space thousands.
//!
//! This is the one crate that may use `unsafe`: system calls that have no safe face.

pub mod backend;
mod clock;
#[cfg(target_os = "linux")]
pub mod control;
pub mod drain;
pub mod feed;
mod gate;
#[cfg(target_os = "linux")]
pub mod host;
#[cfg(target_os = "linux")]
mod leaving;
pub mod metrics;
#[cfg(target_os = "linux")]
pub mod netlink;
#[cfg(target_os = "linux")]
pub mod privileges;
#[cfg(target_os = "linux")]
pub mod queue;
#[cfg(target_os = "linux")]
pub mod seccomp;
pub mod spool;
pub mod tally;
mod tap;
#[cfg(target_os = "linux")]
pub mod tun;
#[cfg(target_os = "linux")]
pub mod wire;
pub mod worker;

pub use backend::{Backend, Batch, Capabilities, Figure, Figures, Frame};
pub use clock::Clock;
pub use gate::Gate;
pub use tally::Tally;
pub use worker::{Workers, work};

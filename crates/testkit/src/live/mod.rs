//! Real programs through a firewall that is the kernel's, or Palisade's, with the same file of rules.
//!
//! - [`net`]: machines in a row, a network namespace each: client, firewall, server.
//! - [`servers`]: what runs on server and firewall.
//! - [`clients`]: what the client does, and what it sees.
//! - [`enforce`]: who enforces the rules on the firewall.
//! - [`traffic`]: how many packets get through, and how fast.
//!
//! ```text
//! routed    client 10.1.0.2 --- 10.1.0.1 lan0 | firewall | wan0 10.2.0.1 --- 10.2.0.2 server
//! bridged   client 10.1.0.2 ------------ lan0 | firewall | wan0 ------------ 10.1.0.3 server
//! ```
//!
//! IPv6 likewise, under `fd00:1::/64` and `fd00:2::/64`. Everything ends with the [`net::Net`].

pub mod clients;
pub mod enforce;
pub mod net;
pub mod servers;
pub mod traffic;

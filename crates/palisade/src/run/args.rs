//! The command line of `palisade run`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use palisade_live::queue;

use super::boot::BootPolicy;
use super::log::{LogFormat, LogLevel};
use super::rule_log::LogTo;
use super::supervise::OnStop;
use crate::args::{Color, ToolsArgument};

/// `palisade run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    #[command(flatten)]
    pub backend: BackendArguments,
    #[command(flatten)]
    pub wire: WireArguments,
    #[command(flatten)]
    pub queue: QueueArguments,
    #[command(flatten)]
    pub daemon: DaemonArguments,
    #[command(flatten)]
    pub serve: crate::control::ServeArguments,
    /// Rules: an iptables-save file or a script of iptables and ip6tables commands.
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// IPv6 rules: an ip6tables-save file.
    #[arg(long, value_name = "FILE")]
    pub rules6: Option<PathBuf>,
    /// Sets (ipset) that the rules name: what `ipset save` printed (docs/ipset.md).
    #[arg(long, value_name = "FILE")]
    pub ipset: Vec<PathBuf>,
    /// Whose language the rules are in.
    #[arg(long = "as", value_enum, default_value = "legacy")]
    pub tools: ToolsArgument,
    /// A sysctl of connection tracking, by the kernel's name.
    #[arg(long, value_name = "NAME=VALUE")]
    pub sysctl: Vec<String>,
    /// Colour.
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Color,
}

/// Where packets come from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct BackendArguments {
    /// Packets for this host and from it.
    #[arg(long)]
    pub host: bool,
    /// Those, and packets that it forwards.
    #[arg(long)]
    pub router: bool,
    /// Packets between two interfaces, as a bump in the wire.
    #[arg(long, value_name = "A,B", value_delimiter = ',', num_args = 1)]
    pub wire: Vec<String>,
    /// Packets of a tunnel interface: what the host sends into it comes out of it again, or out of another (docs/live-wire.md).
    #[arg(long, value_name = "NAME[,NAME]", value_delimiter = ',', num_args = 1)]
    pub tun: Vec<String>,
}

/// How a wire is made (`--wire`).
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of --wire")]
pub struct WireArguments {
    /// By what frames are taken.
    #[arg(long, value_enum, default_value = "best")]
    pub wire_by: ByArgument,
    /// What passes that is not IP.
    #[arg(long, value_enum, default_value = "arp")]
    pub non_ip: NonIpArgument,
    /// Tell both interfaces to leave VLAN tags in frames and not to put segments together (rxvlan, lro and gro of ethtool).
    #[arg(long)]
    pub offloads_off: bool,
}

/// By what frames are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ByArgument {
    /// AF_XDP where the driver has it and nothing is lost by it, else AF_PACKET.
    Best,
    /// AF_XDP.
    Xdp,
    /// AF_PACKET.
    Packet,
}

/// What passes that is not IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum NonIpArgument {
    /// ARP.
    Arp,
    /// Everything, LLDP, 802.1X and spanning tree too.
    All,
    /// Nothing.
    None,
}

/// How packets of this host are handed over (`--host`, `--router`).
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of --host and --router")]
pub struct QueueArguments {
    /// Name of the table of nf_tables (family inet) that hands packets over.
    #[arg(long, value_name = "NAME", default_value = queue::TABLE)]
    pub table: String,
    /// Queues, and threads; 0: one a processor.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub queues: u16,
    /// Number of the first queue; otherwise the first from 20000 on that are free.
    #[arg(long = "queue", value_name = "NUMBER")]
    pub first_queue: Option<u16>,
    /// Packets that may wait in a queue.
    #[arg(long, value_name = "NUMBER", default_value_t = queue::LENGTH)]
    pub queue_length: u32,
    /// Packets pass unseen when nobody listens to a queue, and when it is full.
    #[arg(long)]
    pub fail_open: bool,
    /// Bit of the packet mark that is kept for packets that come back behind routing.
    #[arg(long, value_name = "BIT", default_value_t = queue::MARK_BIT)]
    pub mark_bit: u8,
}

/// How it runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Service")]
pub struct DaemonArguments {
    /// What to do when the rules cannot be read or have errors.
    #[arg(long, value_enum, default_value = "refuse")]
    pub boot_policy: BootPolicy,
    /// What packets meet after a stop that was asked for.
    #[arg(long, value_enum, default_value = "open")]
    pub on_stop: OnStop,
    /// Be this user, once everything is open. Files of --state and of logs must be this user's then.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Do not limit system calls: to find out which one was refused.
    #[arg(long)]
    pub no_seccomp: bool,
    /// Serve figures for Prometheus at http://ADDRESS:PORT/metrics (docs/metrics.md).
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics: Option<SocketAddr>,
    /// Have each rule's counters among the figures.
    #[arg(long, requires = "metrics")]
    pub metrics_rules: bool,
    /// Keep connections over a restart in this file: read at the start, written at the end and every --state-every.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// How often --state is written: 30s, 5m; 0 only at the end.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration, requires = "state")]
    pub state_every: Duration,
    /// Where lines of LOG go: auto (the journal where standard error is it, else stderr), stderr, journal, kmsg, or a file.
    #[arg(long, value_name = "WHERE", default_value = "auto")]
    pub log_to: LogTo,
    /// Keep packets of NFLOG in this file (pcapng), each with its rule's prefix as a comment.
    #[arg(long, value_name = "FILE")]
    pub nflog_to: Option<PathBuf>,
    /// Events of LOG and NFLOG a second, at most; 0: no bound.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    pub log_rate: u32,
    /// How large the files of --log-to and --nflog-to grow before they are set aside as FILE.1.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    pub log_max_bytes: u64,
    /// How messages are written to standard error.
    #[arg(long, value_enum, default_value = "auto")]
    pub log_format: LogFormat,
    /// Which messages are written.
    #[arg(long, value_enum, default_value = "info")]
    pub log_level: LogLevel,
}

/// A time: a number with `ms`, `s`, `m` or `h`; without one of these, seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let milliseconds = match unit {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("'{unit}' is no unit: ms, s, m, h")),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "a number is needed".to_owned())?;
    let all = number.checked_mul(milliseconds);
    all.map(Duration::from_millis)
        .ok_or_else(|| "too long".to_owned())
}

//! The command lines of what is asked of a running palisade.

use std::path::PathBuf;

use clap::Args;
use palisade_live::control::DEFAULT_PATH;
use palisade_live::control::message::{Ip, Language, Leave, Session};
use palisade_rules::TableKind;

use crate::args::{Color, Format, ToolsArgument};

/// Which palisade.
#[derive(Clone, Debug, Args)]
pub struct SocketArgument {
    /// The control socket of the running palisade.
    #[arg(long, value_name = "PATH", env = "PALISADE_CONTROL", default_value = DEFAULT_PATH)]
    pub control: PathBuf,
}

/// `palisade run`: who may ask and change.
#[derive(Debug, Args)]
#[command(next_help_heading = "Control")]
pub struct ServeArguments {
    /// Where the control socket is made (docs/control.md).
    #[arg(long, value_name = "PATH", env = "PALISADE_CONTROL", default_value = DEFAULT_PATH)]
    pub control: PathBuf,
    /// Members of this group may ask over the control socket, and change nothing; root may do both.
    #[arg(long, value_name = "GROUP")]
    pub control_group: Option<String>,
    /// A connection that no change of rules may cut, beside the session of who changes them.
    #[arg(
        long,
        value_name = "SRC:PORT-DST:PORT",
        env = "PALISADE_PROTECT",
        value_delimiter = ','
    )]
    pub protect: Vec<Session>,
    /// No control socket.
    #[arg(long, conflicts_with_all = ["control", "control_group"])]
    pub no_control: bool,
}

/// `palisade status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    #[command(flatten)]
    pub socket: SocketArgument,
    /// Output format.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Colour.
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Color,
}

/// `palisade rules`.
#[derive(Debug, Args)]
pub struct RulesArguments {
    #[command(flatten)]
    pub socket: SocketArgument,
    /// Those of ip6tables.
    #[arg(short = '6')]
    pub v6: bool,
    /// Of one table.
    #[arg(short = 't', long, value_parser = TableKind::ALL.map(TableKind::name))]
    pub table: Option<String>,
    /// Without counters, as iptables-save without -c.
    #[arg(long)]
    pub no_counters: bool,
    /// Whose iptables-save: tables, chains and some rules are printed differently.
    #[arg(long = "as", value_enum, default_value = "legacy")]
    pub tools: ToolsArgument,
    /// Output format: json is {"family":…,"rules":TEXT}.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// `palisade conntrack`.
#[derive(Debug, Args)]
pub struct ConntrackArguments {
    #[command(flatten)]
    pub socket: SocketArgument,
    /// The name that it was called by.
    #[arg(long, hide = true, default_value = "conntrack")]
    pub called: String,
    /// The program's own arguments (docs/conntrack.md).
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// `palisade stop`.
#[derive(Debug, Args)]
pub struct StopArguments {
    #[command(flatten)]
    pub socket: SocketArgument,
    /// Afterwards all packets pass.
    #[arg(long, conflicts_with = "closed")]
    pub open: bool,
    /// Afterwards no packet passes until palisade runs again.
    #[arg(long)]
    pub closed: bool,
}

impl StopArguments {
    /// What becomes of packets.
    pub fn leave(&self) -> Leave {
        match (self.open, self.closed) {
            (true, _) => Leave::Open,
            (_, true) => Leave::Closed,
            _ => Leave::AsTold,
        }
    }
}

/// The family that `-6` says.
pub fn family(v6: bool) -> Ip {
    crate::rules::family(v6).into()
}

impl From<ToolsArgument> for Language {
    fn from(tools: ToolsArgument) -> Self {
        match tools {
            ToolsArgument::Legacy => Language::Legacy,
            ToolsArgument::Nft => Language::Nft,
        }
    }
}

/// What a change of rules is not to do.
#[derive(Clone, Debug, Args)]
pub struct SafetyArguments {
    /// A connection that is not to be cut, beside the ssh session that this is typed into.
    #[arg(
        long,
        value_name = "SRC:PORT-DST:PORT",
        env = "PALISADE_PROTECT",
        value_delimiter = ','
    )]
    pub protect: Vec<Session>,
    /// Change the rules even if that cuts a session that is looked after.
    #[arg(long)]
    pub force: bool,
}

/// `palisade reload`.
#[derive(Debug, Args)]
pub struct ReloadArguments {
    #[command(flatten)]
    pub socket: SocketArgument,
    /// Rules: an iptables-save file or a script of iptables and ip6tables commands. Without any file: those of the start.
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// IPv6 rules: an ip6tables-save file.
    #[arg(long, value_name = "FILE")]
    pub rules6: Option<PathBuf>,
    /// Change nothing: tell which live flows these rules would judge differently, each with the old and the new rule.
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with_all = ["cut", "cut_matching", "confirm"])]
    pub preview: Option<Option<PathBuf>>,
    /// Connections stay, whatever the new rules would say to them, as with iptables; this is so if nothing is said.
    #[arg(long, conflicts_with_all = ["cut", "cut_matching"])]
    pub keep: bool,
    /// End the connections whose packets the new rules would not let pass.
    #[arg(long)]
    pub cut: bool,
    /// End those of them that an expression fits: host=203.0.113.9 and port=22; also proto=, connection=, verdict=.
    #[arg(long, value_name = "EXPR", conflicts_with = "cut")]
    pub cut_matching: Option<String>,
    /// The old rules are put back unless palisade confirm comes within this time: 60s, 5m.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub confirm: Option<u32>,
    #[command(flatten)]
    pub safety: SafetyArguments,
    /// Whose language the rules are in.
    #[arg(long = "as", value_enum, default_value = "legacy")]
    pub tools: ToolsArgument,
    /// Output format.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Colour.
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Color,
}

/// `palisade log`.
#[derive(Debug, Args)]
pub struct LogArguments {
    #[command(flatten)]
    pub socket: SocketArgument,
    /// The last so many lines; 4096 are kept.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub last: usize,
    /// Go on with those that come, until Ctrl-C.
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// Output format: json is {"line":TEXT}, one a line.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// `palisade confirm`.
#[derive(Debug, Args)]
pub struct ConfirmArguments {
    #[command(flatten)]
    pub socket: SocketArgument,
}

/// `palisade save`.
#[derive(Debug, Args)]
pub struct SaveArguments {
    #[command(flatten)]
    pub socket: SocketArgument,
    /// IPv4 rules to this file instead of the one that they were read from.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// IPv6 rules to this file instead of the one that they were read from.
    #[arg(long, value_name = "FILE")]
    pub to6: Option<PathBuf>,
    /// With counters, as iptables-save -c.
    #[arg(short = 'c', long)]
    pub counters: bool,
    /// Whose language the files are in.
    #[arg(long = "as", value_enum, default_value = "legacy")]
    pub tools: ToolsArgument,
}

/// `palisade shadow`.
#[derive(Debug, Args)]
pub struct ShadowArguments {
    #[command(flatten)]
    pub socket: SocketArgument,
    /// Rules: an iptables-save file or a script of iptables and ip6tables commands.
    #[arg(required_unless_present = "rules6")]
    pub rules: Option<PathBuf>,
    /// IPv6 rules: an ip6tables-save file.
    #[arg(long, value_name = "FILE")]
    pub rules6: Option<PathBuf>,
    /// For how long: 60s, 5m, 2h. Without it, until Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    pub time: Option<u32>,
    /// Whose language the rules are in.
    #[arg(long = "as", value_enum, default_value = "legacy")]
    pub tools: ToolsArgument,
    /// Output format.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Colour.
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Color,
}

/// Longest time that can be told: a week.
const LONGEST: u32 = 7 * 86_400;

/// A time as 90, 90s, 5m or 2h.
fn seconds(text: &str) -> Result<u32, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600)];
    let unit = units
        .iter()
        .find_map(|(unit, worth)| Some((text.strip_suffix(unit)?, *worth)));
    let (number, worth) = unit.unwrap_or((text, 1));
    let all = number
        .parse::<u32>()
        .ok()
        .and_then(|n| n.checked_mul(worth));
    all.filter(|s| (1..=LONGEST).contains(s))
        .ok_or_else(|| "a time such as 60s, 5m or 2h is needed, a week at most".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, wanted) in [("60", 60), ("60s", 60), ("5m", 300), ("2h", 7200)] {
            assert_eq!(seconds(text), Ok(wanted), "{text}");
        }
        for bad in ["", "0", "-5", "s", "1.5s", "5 m", "99999h", "5000000000"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}

//! The command lines of what is asked of a running palisade.

use std::path::PathBuf;

use clap::Args;
use palisade_live::control::DEFAULT_PATH;
use palisade_live::control::message::{Ip, Language, Leave};
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

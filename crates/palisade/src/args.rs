//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A stateful packet filter that takes iptables rules and says why.
#[derive(Debug, Parser)]
#[command(name = "palisade", version, about, disable_help_subcommand = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replay a capture or a script of packets through iptables rules: state, rule, verdict and reason of each packet.
    Trace(Box<TraceArguments>),
    /// Check rules: everything iptables would refuse, and what administrators regret later, each with its place and a repair.
    Check(Box<CheckArguments>),
    /// Print rules as iptables-save would.
    Fmt(FmtArguments),
    /// Measure what a packet costs on this machine, case by case.
    Bench(Box<BenchArguments>),
    /// Enforce rules on live traffic.
    Run(Box<crate::run::RunArguments>),
    /// How a running palisade does: backend, packets by verdict, rules, connections.
    Status(crate::control::StatusArguments),
    /// The rules of a running palisade with their counters, as iptables-save -c.
    Rules(crate::control::RulesArguments),
    /// Other rules for a running palisade, all at once; connections stay.
    Reload(Box<crate::control::ReloadArguments>),
    /// Keep the rules of a reload that waits for it.
    Confirm(crate::control::ConfirmArguments),
    /// Write the rules of a running palisade to the files that they were read from.
    Save(crate::control::SaveArguments),
    /// Judge live packets by other rules too, without enforcing them, and tell the differences.
    Shadow(Box<crate::control::ShadowArguments>),
    /// The busiest connections and rules of a running palisade, in the terminal.
    Top(crate::top::TopArguments),
    /// conntrack, on the connections of a running palisade: palisade conntrack -L -p tcp.
    #[command(disable_help_flag = true)]
    Conntrack(crate::control::ConntrackArguments),
    /// What rules of a running palisade log (LOG), as the kernel's lines.
    Log(crate::control::LogArguments),
    /// Stop a running palisade.
    Stop(crate::control::StopArguments),
    /// Help for a command, or for a match or target of the language: help match recent, help matches.
    Help(HelpArguments),
    /// Completions for a shell: palisade completions bash.
    Completions(CompletionsArguments),
    /// iptables, on a running palisade or a file of rules: palisade iptables --rules FILE -L -n -v.
    Iptables(ProgramArguments),
    /// ip6tables, on a running palisade or a file of rules.
    Ip6tables(ProgramArguments),
    /// iptables-save of a running palisade or a file of rules.
    IptablesSave(ProgramArguments),
    /// ip6tables-save of a running palisade or a file of rules.
    Ip6tablesSave(ProgramArguments),
    /// iptables-restore onto a running palisade or a file of rules.
    IptablesRestore(ProgramArguments),
    /// ip6tables-restore onto a running palisade or a file of rules.
    Ip6tablesRestore(ProgramArguments),
}

/// `palisade help`.
#[derive(Debug, Args)]
pub struct HelpArguments {
    /// A command; match NAME or target NAME; matches or targets for a list.
    #[arg(value_name = "WORD")]
    pub words: Vec<String>,
}

/// `palisade completions`.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// Which shell.
    #[arg(value_enum)]
    pub shell: ShellArgument,
}

/// Shells that words are completed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ShellArgument {
    /// bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

impl From<ShellArgument> for clap_complete::Shell {
    fn from(shell: ShellArgument) -> Self {
        match shell {
            ShellArgument::Bash => clap_complete::Shell::Bash,
            ShellArgument::Zsh => clap_complete::Shell::Zsh,
            ShellArgument::Fish => clap_complete::Shell::Fish,
        }
    }
}

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// Which of the two iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ToolsArgument {
    /// iptables-legacy.
    Legacy,
    /// iptables-nft.
    Nft,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Who walks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EvaluatorArgument {
    /// Rule by rule, as written.
    Linear,
    /// Rules made into a program first.
    Compiled,
}

impl From<EvaluatorArgument> for palisade_engine::Evaluator {
    fn from(evaluator: EvaluatorArgument) -> Self {
        match evaluator {
            EvaluatorArgument::Linear => palisade_engine::Evaluator::Linear,
            EvaluatorArgument::Compiled => palisade_engine::Evaluator::Compiled,
        }
    }
}

/// `palisade trace`.
#[derive(Debug, Args)]
pub struct TraceArguments {
    /// Rules: an iptables-save file or a script of iptables and ip6tables commands.
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// IPv6 rules: an ip6tables-save file.
    #[arg(long, value_name = "FILE")]
    pub rules6: Option<PathBuf>,
    /// Sets (ipset) that the rules name: what `ipset save` printed (docs/ipset.md).
    #[arg(long, value_name = "FILE")]
    pub ipset: Vec<PathBuf>,
    /// Capture to replay: pcap or pcapng, gzip or not.
    #[arg(long, value_name = "FILE", conflicts_with = "script")]
    pub pcap: Option<PathBuf>,
    /// Packet script to play (docs/scripts.md).
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// The firewall's interfaces, addresses and sysctls (docs/trace.md).
    #[arg(long, value_name = "FILE.toml", conflicts_with_all = ["local", "interface"])]
    pub host: Option<PathBuf>,
    /// Addresses of the host whose rules these are.
    #[arg(long, value_name = "ADDR,…", value_delimiter = ',')]
    pub local: Vec<IpAddr>,
    /// Which addresses lie behind an interface; longest prefix wins.
    #[arg(long, value_name = "NAME=PREFIX")]
    pub interface: Vec<String>,
    /// A sysctl of connection tracking, by the kernel's name.
    #[arg(long, value_name = "NAME=VALUE")]
    pub sysctl: Vec<String>,
    /// Who walks the rules: both come to the same results.
    #[arg(long, value_enum, default_value = "compiled")]
    pub evaluator: EvaluatorArgument,
    /// Output format.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Explain one packet (17), or show only those of a range (5-9) or an expression (state=INVALID and port=22).
    #[arg(long, value_name = "N|EXPR")]
    pub only: Option<String>,
    /// Show only the summary.
    #[arg(long)]
    pub summary: bool,
    /// Print the rules with their counters at the end, as iptables-save -c.
    #[arg(long)]
    pub counters: bool,
    /// Print the connection table at the end, as conntrack -L -o extended.
    #[arg(long)]
    pub conntrack: bool,
    /// Print how the rules of each chain are found; needs no packets.
    #[arg(long)]
    pub explain_program: bool,
    /// With --format json: the bytes of each accepted packet as it leaves.
    #[arg(long)]
    pub hex: bool,
    /// Write the accepted packets to a capture.
    #[arg(long, value_name = "FILE")]
    pub write_accepted: Option<PathBuf>,
    /// Colour.
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Color,
}

/// Output format of `palisade check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// For people.
    Human,
    /// For programs: one object a finding, one a line.
    Json,
    /// SARIF 2.1.0, for continuous integration and editors.
    Sarif,
}

/// `palisade check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// All files are ip6tables'. Without it each save file is told by what stands in it.
    #[arg(short = '6')]
    pub v6: bool,
    /// Rules files of one host: save files or scripts, IPv4 and IPv6.
    #[arg(required_unless_present_any = ["explain", "list_lints", "rules6"])]
    pub files: Vec<PathBuf>,
    /// An ip6tables-save file of the same host.
    #[arg(long, value_name = "FILE")]
    pub rules6: Vec<PathBuf>,
    /// Sets (ipset) that the rules name: what `ipset save` printed. They are checked too.
    #[arg(long, value_name = "FILE")]
    pub ipset: Vec<PathBuf>,
    /// Output format.
    #[arg(long, value_enum, default_value = "human")]
    pub format: CheckFormat,
    /// Exit with 1 on warnings, or on findings of a lint (PL007 or its name).
    #[arg(long, value_name = "warnings|LINT", value_delimiter = ',')]
    pub deny: Vec<String>,
    /// Leave the findings of a lint out.
    #[arg(long, value_name = "LINT", value_delimiter = ',')]
    pub allow: Vec<String>,
    /// Measure on a capture how many rules a packet is asked, as the rules are and with ESTABLISHED first.
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// With --pcap: the firewall's interfaces and addresses (docs/trace.md).
    #[arg(long, value_name = "FILE.toml", conflicts_with_all = ["local", "interface"])]
    pub host: Option<PathBuf>,
    /// With --pcap: addresses of the host whose rules these are.
    #[arg(long, value_name = "ADDR,…", value_delimiter = ',')]
    pub local: Vec<IpAddr>,
    /// With --pcap: which addresses lie behind an interface.
    #[arg(long, value_name = "NAME=PREFIX")]
    pub interface: Vec<String>,
    /// Tell what a lint finds, why, and what to do, with a bad and a good example.
    #[arg(long, value_name = "LINT")]
    pub explain: Option<String>,
    /// Name all lints.
    #[arg(long)]
    pub list_lints: bool,
    /// Colour.
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Color,
}

/// `palisade fmt`.
#[derive(Debug, Args)]
pub struct FmtArguments {
    /// The file is ip6tables'.
    #[arg(short = '6')]
    pub v6: bool,
    /// Look up host names in -s and -d, and print a rule for each address; otherwise they are refused.
    #[arg(long)]
    pub resolve: bool,
    /// Rules file.
    pub file: PathBuf,
    /// Whose iptables-save: tables, chains and some rules are printed differently.
    #[arg(long = "as", value_enum, default_value = "legacy")]
    pub tools: ToolsArgument,
    /// Keep comments and empty lines above the rules that they stand before.
    #[arg(long)]
    pub keep_comments: bool,
    /// Print counters too, as iptables-save -c.
    #[arg(short = 'c', long)]
    pub counters: bool,
    /// Colour.
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Color,
}

/// `palisade bench`.
#[derive(Debug, Args)]
pub struct BenchArguments {
    /// Cases by name (established-65536, also with other numbers) or pattern (rules-*); all if not said.
    #[arg(long, value_name = "CASE,…", value_delimiter = ',')]
    pub cases: Vec<String>,
    /// Name the cases and what they measure.
    #[arg(long)]
    pub list: bool,
    /// Rules of your own, IPv4, for the cases established-N and new-N: says so when packets do not pass.
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Flows of the cases established-N and new-N, whatever their names say.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub flows: Option<u32>,
    /// Packets of the cases established-N and new-N, whatever their names say.
    #[arg(long, value_enum)]
    pub mix: Option<crate::bench::Mix>,
    /// Packets handed over at a time.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch: u32,
    /// Packets of a round; as many as take 0.3 seconds if not said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub packets: Option<u64>,
    /// Rounds, of which the median is told.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Short rounds and small cases only: whether it runs, not how fast.
    #[arg(long)]
    pub quick: bool,
    /// Do not ask for huge pages.
    #[arg(long)]
    pub small_pages: bool,
    /// A sysctl of connection tracking, by the kernel's name.
    #[arg(long, value_name = "NAME=VALUE")]
    pub sysctl: Vec<String>,
    /// Who walks the rules.
    #[arg(long, value_enum, default_value = "compiled")]
    pub evaluator: EvaluatorArgument,
    /// Output format.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Colour.
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Color,
}

/// The programs that people know.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub struct ProgramArguments {
    /// A file that holds the rules, as iptables-save writes them; made if it is not there. Without it: those of the
    /// running palisade.
    #[arg(long, value_name = "FILE", env = "PALISADE_RULES")]
    pub rules: Option<PathBuf>,
    #[command(flatten)]
    pub socket: crate::control::SocketArgument,
    /// Whose language it is: legacy or nft.
    #[arg(long = "as", value_name = "TOOLS", value_parser = ["legacy", "nft"], default_value = "legacy")]
    pub language: String,
    /// The program's own arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

impl ProgramArguments {
    /// Whose language it is.
    pub fn tools(&self) -> palisade_rules::Tools {
        match self.language.as_str() {
            "nft" => palisade_rules::Tools::Nft,
            _ => palisade_rules::Tools::Legacy,
        }
    }
}

//! iptables rules over tracked packets: verdict with reason.
//!
//! The function `(program, connection table, packet, time) -> (verdict, changes, reasons)`: no sockets,
//! files, clocks, randomness or printing.
//!
//! - [`Engine::process`]: one packet through all hooks and tables (`path.rs`, read top to bottom).
//! - [`Engine::process_batch`]: many packets, each by the shortest way that is right for it (`batch.rs`, `lane.rs`,
//!   `usual.rs`); [`shards`]: over several cores.
//! - `routing.rs`, `judge.rs`, `nat.rs`: where it goes, what happens at one hook, address translation.
//! - `linear.rs`: the rule-by-rule evaluator, which is the specification; `compiled/`: what finds rules without
//!   asking all.
//! - `matches/`: what each match means, one file a family.
//! - `reject.rs`: the answers of REJECT.
//!
//! ```
//! use palisade_engine::{Engine, Host, Input, Setup, Verdict, rules::{Family, parse}};
//! use palisade_wire::{build, tcp::flags};
//! let rules = parse::auto("-A INPUT -p tcp --dport 22 -j DROP", Family::V4);
//! let host = Host::new(["192.0.2.1".parse().unwrap()], []);
//! let mut engine = Engine::new(Setup { rules4: rules.v4, host, ..Setup::default() }).unwrap();
//! let ip = build::Ip::new("203.0.113.9".parse().unwrap(), "192.0.2.1".parse().unwrap());
//! let syn = build::tcp(&ip, &build::Tcp { destination_port: 22, flags: flags::SYN, ..Default::default() }, b"");
//! let outcome = engine.process(&Input::new(&syn), &mut ());
//! assert_eq!(outcome.verdict, Verdict::Drop);
//! assert_eq!(outcome.why.to_string(), "first packet of a new connection; dropped by filter INPUT rule 1");
//! ```

// What threads share is compiled once more for its models.
#![cfg_attr(test, allow(clippy::duplicate_mod))]

mod ahead;
mod append;
mod batch;
mod changed;
mod compiled;
mod conclude;
mod detail;
mod extension;
pub mod host;
mod input;
mod judge;
mod lane;
mod linear;
mod log;
mod matches;
mod nat;
mod npt;
mod observe;
mod options;
mod outcome;
mod path;
mod preview;
mod program;
mod reject;
mod remember;
mod remembered;
mod replace;
mod routing;
mod sets;
mod settings;
pub mod shards;
pub mod socket;
mod synproxy;
mod targets;
mod tee;
mod usual;

pub use palisade_conntrack as conntrack;
pub use palisade_rules as rules;

pub use append::AppendError;
pub use batch::{Arrival, Judged, Port};
pub use changed::Changed;
pub use compiled::{ChainShape, Classifier, Fields, Shape};
pub use detail::Detail;
pub use host::{Host, Interface};
pub use input::{Bridge, Input, LinkInfo, Route};
pub use log::{LogEvent, LogTarget, MOST_BYTES, MOST_EVENTS, TakenLogs};
pub use matches::{Account, AccountQuota, Jiffies, Limits, RecentLists};
pub use observe::{Effect, Failed, Observer, RuleRef, Visit};
pub use outcome::{ConnectionView, Decider, Ended, Outcome, Path, Translation, Verdict, Why};
pub use preview::{Difference, Differences, Foreseen, Outlook, Preview, Session, SessionForeseen};
pub use program::SetupError;
pub use remembered::Remembered;
pub use replace::{Counting, Exchange, Memory, Replaced, Replacement};
pub use sets::Sets;
pub use socket::{Owner, Socket};
pub use tee::Copied;

use palisade_conntrack::defrag::Defrag;
use palisade_conntrack::{Config, Conntrack};
use palisade_rules::{Family, Ruleset};

/// When fragments are put together before the rules see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Reassembly {
    /// As the kernel: when a rule of the family needs connection tracking.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Who walks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Evaluator {
    /// Rules are found by what they ask for, and ways that cannot change are remembered: what runs.
    #[default]
    Compiled,
    /// Rule by rule, as written: the specification.
    Linear,
}

/// What an engine is made of.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// IPv4 rules; none: everything is accepted.
    pub rules4: Option<Ruleset>,
    /// IPv6 rules; none: everything is accepted.
    pub rules6: Option<Ruleset>,
    /// The firewall's interfaces and addresses.
    pub host: Host,
    /// Connection tracking sysctls.
    pub conntrack: Config,
    /// Reassembly.
    pub reassembly: Reassembly,
    /// The sets (ipset) that rules name; what a set that is missing would say is not known.
    pub ipsets: palisade_rules::ipset::Sets,
    /// Who walks the rules.
    pub evaluator: Evaluator,
}

/// The firewall: rules, connection table and everything rules remember.
#[derive(Clone, Debug)]
pub struct Engine {
    programs: [program::Program; 2],
    host: Host,
    conntrack: Conntrack,
    defrag: Defrag,
    states: matches::States,
    reassembly: Reassembly,
    reassemble: [bool; 2],
    /// Return addresses of chain calls, kept to spare allocations.
    stack: Vec<(u32, u32)>,
    /// Bytes of a forwarded packet with its TTL lowered.
    scratch: Vec<u8>,
    visited: u64,
    evaluator: Evaluator,
    ports: Vec<batch::PortInfo>,
    lane: lane::Lane,
    /// Room for looks ahead, kept so that no batch has to make it.
    stage: Option<Box<ahead::Stage>>,
}

impl Engine {
    /// Compiles the rules.
    ///
    /// # Errors
    /// [`SetupError`] when chains call each other in a circle, a ruleset is of the other family, or a rule names
    /// a timeout policy or a label that the settings do not have.
    pub fn new(setup: Setup) -> Result<Self, SetupError> {
        let mut setup = setup;
        let mut states = matches::States {
            sets: Sets::new(&setup.ipsets),
            draws: matches::Draws::new(setup.conntrack.hash_seed),
            ..Default::default()
        };
        for account in &setup.host.accounts {
            states.accounts.add(account);
        }
        let config = &setup.conntrack;
        states.cookies = synproxy::Cookies::new(config.hash_seed);
        let rules = [setup.rules4, setup.rules6];
        let compiled = replace::Compiled::new(rules, config, &mut states)?;
        if compiled.counts_traffic() {
            setup.conntrack.acct = 1;
        }
        let reassemble = compiled.reassemble(setup.reassembly);
        Ok(Engine {
            programs: compiled.programs,
            host: setup.host,
            conntrack: Conntrack::new(setup.conntrack),
            defrag: Defrag::new(),
            states: compiled.states,
            reassembly: setup.reassembly,
            reassemble,
            stack: Vec::new(),
            scratch: Vec::new(),
            visited: 0,
            evaluator: setup.evaluator,
            ports: vec![batch::PortInfo::default()],
            lane: lane::Lane::default(),
            stage: None,
        })
    }

    /// Who walks the rules.
    pub fn evaluator(&self) -> Evaluator {
        self.evaluator
    }

    /// The connection table.
    pub fn conntrack(&self) -> &Conntrack {
        &self.conntrack
    }

    /// Fills in the TCP window arithmetic of every packet from now on; costs an allocation each.
    pub fn set_explain(&mut self, explain: bool) {
        self.conntrack.set_explain(explain);
    }

    /// What the next choices of address translation by chance should be; see [`Conntrack::prefer`].
    pub fn prefer(&mut self, preferred: palisade_conntrack::nat::Preferred) {
        self.conntrack.prefer(preferred);
    }

    /// What the next cookie of SYNPROXY should be, and the time stamp beside it: for following another subject,
    /// whose secret is not ours.
    pub fn prefer_cookie(&mut self, cookie: Option<(u32, Option<u32>)>) {
        self.states.cookies.preferred = cookie;
    }

    /// What the next draws of `-m statistic --mode random` are, one a rule that is asked: the kernel's
    /// `get_random_u32`, of which the lower 31 bits count. A rule matches when its draw is less than its
    /// probability times 2^31.
    pub fn draw(&mut self, draws: impl IntoIterator<Item = u32>) {
        self.states.draws.say(draws);
    }

    /// The accounting objects of `-m nfacct`, by the order in which the host and then rules name them.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.states.accounts.iter()
    }

    /// Removes connections that ended by `now`.
    pub fn expire(&mut self, now: palisade_wire::Timestamp) {
        self.conntrack.expire(now);
    }

    /// The firewall's interfaces and addresses.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The lists of `-m recent`.
    pub fn recent(&self) -> &RecentLists {
        &self.states.recent
    }

    /// The sets (ipset) as they are now.
    pub fn ipsets(&self) -> &Sets {
        &self.states.sets
    }

    /// The rules of a family with their counters, as `iptables-save -c` would print them.
    pub fn ruleset(&self, family: Family) -> Option<Ruleset> {
        let mut ruleset = self.programs[family as usize].ruleset()?;
        for (kind, chain, rule, packets, bytes) in self.unsettled(family) {
            let table = ruleset.tables.iter_mut().find(|t| t.kind == kind)?;
            let chain = table.chains.get_mut(chain as usize)?;
            let counters = match rule {
                None => &mut chain.counters,
                Some(rule) => &mut chain.rules.get_mut(rule as usize)?.counters,
            };
            counters.packets += packets;
            counters.bytes += bytes;
        }
        Some(ruleset)
    }

    /// The rules of a family as they were given: for texts and positions.
    pub fn source(&self, family: Family) -> Option<&Ruleset> {
        self.programs[family as usize].source.as_ref()
    }

    /// Bytes that fragments of a family occupy while they wait for the rest, overhead included.
    pub fn fragments_held(&self, family: Family) -> u64 {
        self.defrag.used(family)
    }

    /// How the rules of a family's chains are found.
    pub fn describe(&self, family: Family) -> Vec<ChainShape> {
        self.programs[family as usize].shapes()
    }

    /// Rules visited since the engine was made.
    pub fn visited(&self) -> u64 {
        self.visited
    }
}

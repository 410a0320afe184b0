//! What became of one packet, and how that differs between two evaluators.

use std::fmt::Debug;
use std::sync::Arc;

use palisade_capture::report::MatchedRule;
use palisade_conntrack::{ConnId, Direction, State, Track};
use palisade_engine::{
    Changed, Effect, Engine, Judged, LinkInfo, Observer, Outcome, Route, RuleRef, Verdict, Visit,
};
use palisade_rules::TableKind;
use palisade_wire::Packet;

use palisade_capture::report::Matched;

/// A packet as all of them get it.
#[derive(Clone, Debug)]
pub struct Given {
    /// Line of the script.
    pub line: u32,
    /// Bytes from the IP header on.
    pub bytes: Vec<u8>,
    /// Which way.
    pub route: Route,
    /// Link layer.
    pub link: LinkInfo,
    /// Packet mark that it comes with.
    pub mark: u32,
}

/// What an observer is told and evaluators must agree about: not the rules that did not match, since to spare
/// those is what a compiled ruleset is for.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    matched: Matched,
    effects: Vec<Effect>,
    policies: Vec<(TableKind, String, bool)>,
    tracked: Vec<Track>,
}

impl Observer for Watched {
    fn visit(&mut self, rule: RuleRef<'_>, visit: Visit) {
        self.matched.visit(rule, visit);
    }

    fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    fn policy(&mut self, table: TableKind, chain: &str, accept: bool) {
        self.policies.push((table, chain.to_owned(), accept));
    }

    fn tracked(&mut self, track: &Track) {
        self.tracked.push(track.clone());
    }
}

impl Watched {
    /// How another's differs.
    pub fn differences(&self, other: &Watched) -> Vec<String> {
        let Watched {
            matched,
            effects,
            policies,
            tracked,
        } = self;
        let rules = |matched: &Matched| -> Vec<String> {
            let name = |m: &MatchedRule| format!("{} {} {}", m.table.name(), m.chain, m.rule);
            matched.rules.iter().map(name).collect()
        };
        let mut all = Vec::new();
        differ("matched", &rules(matched), &rules(&other.matched), &mut all);
        differ("effects", effects, &other.effects, &mut all);
        differ("policies", policies, &other.policies, &mut all);
        // Handles may differ, numbers are compared elsewhere.
        let tracks = |tracked: &[Track]| -> Vec<String> {
            let known = |t: &Track| {
                let mut without = t.clone();
                let known = without.connection.take().is_some();
                format!("{known} {without:?}")
            };
            tracked.iter().map(known).collect()
        };
        differ(
            "tracked",
            &tracks(tracked),
            &tracks(&other.tracked),
            &mut all,
        );
        all
    }
}

/// What every evaluator tells of a packet.
#[derive(Clone, Debug)]
pub struct Shown {
    verdict: Verdict,
    state: Option<State>,
    direction: Option<Direction>,
    id: Option<ConnId>,
    mark: u32,
    changed: Changed,
    /// As it leaves; `None` when it does not.
    leaves: Option<Vec<u8>>,
    /// Everything else, where it is told.
    detail: Option<Box<Outcome>>,
}

/// The bytes of a packet that passes, without what followed it in its frame.
fn leaves(verdict: Verdict, bytes: &[u8]) -> Option<Vec<u8>> {
    if !matches!(verdict, Verdict::Accept | Verdict::Queue | Verdict::Unknown) {
        return None;
    }
    let whole = Packet::parse(bytes).map_or(bytes, |p| p.bytes());
    Some(whole.to_vec())
}

impl Shown {
    /// Of a packet that was handed over alone.
    pub fn alone(given: &Given, outcome: Outcome) -> Shown {
        let bytes = outcome.output.as_ref().unwrap_or(&given.bytes);
        Shown {
            verdict: outcome.verdict,
            state: outcome.state,
            direction: outcome.direction,
            id: outcome.id,
            mark: outcome.mark,
            changed: outcome.changed,
            leaves: leaves(outcome.verdict, bytes),
            detail: Some(Box::new(outcome)),
        }
    }

    /// Of a packet of a batch; `bytes` are those that the batch holds afterwards.
    pub fn in_batch(bytes: &[u8], judged: Judged) -> Shown {
        let Judged {
            verdict,
            state,
            direction,
            connection,
            mark,
            changed,
            mut detail,
        } = judged;
        let output = detail.as_ref().and_then(|d| d.output.as_deref());
        Shown {
            verdict,
            state,
            direction,
            id: connection,
            mark,
            changed,
            leaves: leaves(verdict, output.unwrap_or(bytes)),
            detail: detail.take(),
        }
    }

    /// The bytes as they leave, for who answers them.
    pub fn leaves(&self) -> Option<&[u8]> {
        self.leaves
            .as_deref()
            .filter(|_| self.verdict == Verdict::Accept)
    }

    /// Whether its state is ESTABLISHED.
    pub fn established(&self) -> bool {
        self.state == Some(State::Established)
    }

    /// Whether everything is told of the packet, or it went the short way.
    pub fn told(&self) -> bool {
        self.detail.is_some()
    }

    /// How another's word for the same packet differs; both engines have seen the same packets.
    pub fn differences(&self, engine: &Engine, other: &Shown, others: &Engine) -> Vec<String> {
        let mut all = self.differences_in_words(other);
        let name = |engine: &Engine, id: &Option<ConnId>| {
            let connection = engine.conntrack().connection((*id)?)?;
            Some(format!("{} {:?}", connection.number(), connection.tuples()))
        };
        differ(
            "connection afterwards",
            &name(engine, &self.id),
            &name(others, &other.id),
            &mut all,
        );
        all
    }

    /// The same, without a look at what the handles of connections lead to.
    pub fn differences_in_words(&self, other: &Shown) -> Vec<String> {
        let Shown {
            verdict,
            state,
            direction,
            id,
            mark,
            changed,
            leaves,
            detail,
        } = self;
        let mut all = Vec::new();
        differ("verdict", verdict, &other.verdict, &mut all);
        differ("state", state, &other.state, &mut all);
        differ("direction", direction, &other.direction, &mut all);
        differ("mark", mark, &other.mark, &mut all);
        differ("changed", changed, &other.changed, &mut all);
        differ(
            "has a connection",
            &id.is_some(),
            &other.id.is_some(),
            &mut all,
        );
        if leaves != &other.leaves {
            let words = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(hex);
            differ("bytes", &words(leaves), &words(&other.leaves), &mut all);
        }
        if let (Some(a), Some(b)) = (detail, &other.detail) {
            outcomes(a, b, &mut all);
        }
        all
    }
}

/// How two outcomes differ.
fn outcomes(a: &Outcome, b: &Outcome, all: &mut Vec<String>) {
    // No `..`: who adds a field decides here whether it is compared.
    let Outcome {
        family,
        path,
        hook,
        in_interface,
        out_interface,
        connection,
        tcp,
        reply,
        further,
        why,
        reassembled,
        largest_piece,
        copies,
        // Compared already, of every packet.
        verdict: _,
        state: _,
        direction: _,
        id: _,
        mark: _,
        changed: _,
        output: _,
        // How many rules are visited is the evaluator's own affair.
        visited: _,
    } = a;
    differ("family", family, &b.family, all);
    differ("path", path, &b.path, all);
    differ("hook", hook, &b.hook, all);
    interface("in", in_interface.as_ref(), b.in_interface.as_ref(), all);
    interface("out", out_interface.as_ref(), b.out_interface.as_ref(), all);
    differ("view of the connection", connection, &b.connection, all);
    differ("window arithmetic", tcp, &b.tcp, all);
    differ("reply", reply, &b.reply, all);
    differ("further reply", further, &b.further, all);
    differ("why", why, &b.why, all);
    differ("put together", reassembled, &b.reassembled, all);
    differ("largest piece", largest_piece, &b.largest_piece, all);
    differ("copies", copies, &b.copies, all);
}

fn interface(name: &str, a: Option<&Arc<str>>, b: Option<&Arc<str>>, all: &mut Vec<String>) {
    differ(&format!("interface {name}"), &a, &b, all);
}

fn differ<T: PartialEq + Debug>(name: &str, a: &T, b: &T, all: &mut Vec<String>) {
    if a != b {
        all.push(format!("{name} {a:?}, not {b:?}"));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

//! A line a packet, for people.

use std::io::{self, Write};

use anstyle::AnsiColor;
use palisade_capture::report::{TraceRecord, Transport};
use palisade_conntrack::{Direction, Reason, State};
use palisade_engine::{Ended, Outcome, Verdict};
use palisade_wire::Timestamp;

use crate::output::Paint;

/// Columns that grow with what they have to hold.
pub struct Layout {
    paint: Paint,
    start: Option<Timestamp>,
    ends: usize,
    interfaces: usize,
    decider: usize,
    header: bool,
}

/// Colours that tell connections apart.
const CONNECTION_COLORS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::Yellow,
    AnsiColor::BrightCyan,
    AnsiColor::BrightMagenta,
];

impl Layout {
    /// An empty layout.
    pub fn new(paint: Paint) -> Self {
        Layout {
            paint,
            start: None,
            ends: 38,
            interfaces: 5,
            decider: 14,
            header: false,
        }
    }

    /// The painter.
    pub fn paint(&self) -> Paint {
        self.paint
    }

    /// Writes one record.
    pub fn line(&mut self, out: &mut impl Write, record: &TraceRecord) -> io::Result<()> {
        let start = *self.start.get_or_insert(record.time);
        let time = record.time.since(start).as_secs_f64();
        let paint = self.paint;
        let Some(outcome) = &record.outcome else {
            let what = record.not_ip.as_deref().unwrap_or("not IP");
            return writeln!(
                out,
                "{:>6} {time:>11.6}  {}",
                record.n,
                paint.dim(&format!("not IP: {what}"))
            );
        };
        let ends = ends(record);
        self.ends = self.ends.max(ends.chars().count()).min(90);
        let interfaces = interfaces(outcome);
        self.interfaces = self.interfaces.max(interfaces.chars().count()).min(24);
        let decider = decider(&outcome.why.ended);
        self.decider = self.decider.max(decider.chars().count()).min(40);
        if !self.header {
            self.header = true;
            let (ends, interfaces, decider) = (self.ends, self.interfaces, self.decider);
            let header = format!(
                "{:>6} {:>11}  {:<11} {:<interfaces$} {:<6} {:<ends$} {:<5} {:>5}  {:<7} {:<11} {:<7} {:<decider$}",
                "packet",
                "time",
                "hook",
                "by",
                "proto",
                "from > to",
                "flags",
                "bytes",
                "conn",
                "state",
                "verdict",
                "decided by"
            );
            writeln!(out, "{}", paint.dim(header.trim_end()))?;
        }
        let hook = outcome.hook.map_or("-", |h| h.name());
        let protocol = record.protocol.map_or("-".into(), super::protocol_name);
        let flags = record.tcp_flags.map_or(String::new(), flag_letters);
        let line = format!(
            "{:>6} {time:>11.6}  {hook:<11} {interfaces:<iw$} {protocol:<6} {ends:<ew$} {flags:<5} {:>5}  {} {} {} {decider:<dw$}",
            record.n,
            record.length,
            self.connection(outcome),
            state(paint, outcome.state),
            verdict(paint, outcome.verdict),
            iw = self.interfaces,
            ew = self.ends,
            dw = self.decider,
        );
        match remark(outcome) {
            Some(remark) => writeln!(out, "{line}  {}", paint.dim(&remark)),
            None => writeln!(out, "{}", line.trim_end()),
        }
    }

    /// `c2`, or `c2<c1` for the child of c1.
    fn connection(&self, outcome: &Outcome) -> String {
        let Some(c) = outcome.connection else {
            return format!("{:<7}", "-");
        };
        let name = match c.master {
            Some(master) => format!("c{}<c{master}", c.number),
            None => format!("c{}", c.number),
        };
        let color = CONNECTION_COLORS[(c.number % 6) as usize];
        self.paint.color(color, &format!("{name:<7}"))
    }
}

fn ends(record: &TraceRecord) -> String {
    let address = |a: Option<std::net::IpAddr>| a.map_or("?".into(), |a| a.to_string());
    match (record.source, record.transport) {
        (None, _) => "-".into(),
        (Some(source), Transport::Ports(a, b)) => {
            let port = |address: std::net::IpAddr, port: u16| match address {
                std::net::IpAddr::V4(v4) => format!("{v4}:{port}"),
                std::net::IpAddr::V6(v6) => format!("[{v6}]:{port}"),
            };
            match record.destination {
                Some(destination) => {
                    format!("{} > {}", port(source, a), port(destination, b))
                }
                None => port(source, a),
            }
        }
        (Some(source), Transport::Icmp(kind, code)) => {
            format!(
                "{source} > {} type {kind} code {code}",
                address(record.destination)
            )
        }
        (Some(source), Transport::None) => {
            format!("{source} > {}", address(record.destination))
        }
    }
}

fn interfaces(outcome: &Outcome) -> String {
    match (&outcome.in_interface, &outcome.out_interface) {
        (Some(a), Some(b)) => format!("{a}>{b}"),
        (Some(a), None) => format!("{a}>"),
        (None, Some(b)) => format!(">{b}"),
        (None, None) => "-".into(),
    }
}

/// TCP flags by their letters.
pub fn flag_letters(flags: u8) -> String {
    [
        (0x02, 'S'),
        (0x01, 'F'),
        (0x04, 'R'),
        (0x08, 'P'),
        (0x20, 'U'),
        (0x10, 'A'),
    ]
    .iter()
    .filter(|(bit, _)| flags & bit != 0)
    .map(|(_, letter)| letter)
    .collect()
}

fn state(paint: Paint, state: Option<State>) -> String {
    let Some(state) = state else {
        return format!("{:<11}", "-");
    };
    let text = format!("{:<11}", state.name());
    match state {
        State::New => paint.color(AnsiColor::Yellow, &text),
        State::Established => paint.color(AnsiColor::Green, &text),
        State::Related => paint.color(AnsiColor::Cyan, &text),
        State::Invalid => paint.bold(AnsiColor::Red, &text),
        State::Untracked => paint.dim(&text),
    }
}

fn verdict(paint: Paint, verdict: Verdict) -> String {
    let text = format!("{:<7}", verdict.name());
    match verdict {
        Verdict::Accept => paint.color(AnsiColor::Green, &text),
        Verdict::Drop => paint.bold(AnsiColor::Red, &text),
        Verdict::Reject => paint.bold(AnsiColor::Magenta, &text),
        Verdict::Stolen | Verdict::Queue => paint.color(AnsiColor::Blue, &text),
        Verdict::Unknown => paint.bold(AnsiColor::Yellow, &text),
    }
}

/// Where it was decided, short: the filter table goes without its name.
fn decider(ended: &Ended) -> String {
    let by = match ended {
        Ended::Accepted(by)
        | Ended::Dropped(by)
        | Ended::Queued(by)
        | Ended::Rejected { by, .. }
        | Ended::Unheard(by)
        | Ended::Answered { by, .. }
        | Ended::Unknown { by, .. } => by,
        Ended::NoRules => return "no rules".into(),
        Ended::Tracking(_) => return "tracking".into(),
        Ended::Proxied(_) => return "SYNPROXY".into(),
        Ended::Martian(_)
        | Ended::TimeToLive(_)
        | Ended::FrameToAll
        | Ended::Claimed
        | Ended::NoRoute(_)
        | Ended::Options => {
            return "routing".into();
        }
        Ended::Translation(_) => return "translation".into(),
        Ended::Fragment | Ended::FragmentFault(_) => return "reassembly".into(),
        Ended::NotIp(_) | Ended::HeaderChecksum | Ended::Extension | Ended::OtherHost => {
            return "IP layer".into();
        }
    };
    let table = match by.table {
        palisade_rules::TableKind::Filter => String::new(),
        other => format!("{} ", other.name()),
    };
    if by.rule == 0 {
        format!("{table}{} policy", by.chain)
    } else {
        format!("{table}{} {} (line {})", by.chain, by.rule, by.line)
    }
}

/// The reason, where the columns do not tell it.
fn remark(outcome: &Outcome) -> Option<String> {
    let why = &outcome.why;
    let mut parts = Vec::new();
    if why.pieces > 1 {
        parts.push(format!("put together from {} fragments", why.pieces));
    }
    match &why.state {
        Some(Reason::FirstPacket | Reason::InConnection | Reason::RepeatedBeforeReply) | None => {}
        Some(reason) => parts.push(reason.to_string()),
    }
    // What a translation makes of a connection is told with its first packets.
    if let Some(translation) = outcome.connection.and_then(|c| c.translation)
        && matches!(outcome.state, Some(State::New | State::Related))
        && outcome.direction == Some(Direction::Original)
    {
        parts.push(translation.to_string());
    }
    if let Some(a) = &why.announced {
        parts.push(format!(
            "announces to the {} helper: \"{}\"",
            a.helper, a.text
        ));
    }
    match &why.ended {
        Ended::Accepted(_) | Ended::Dropped(_) | Ended::NoRules => {}
        Ended::Rejected { with, silent, .. } => parts.push(match silent {
            Some(why) => format!("no answer: {why}"),
            None => format!("answered with {with}"),
        }),
        ended => parts.push(ended.to_string()),
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

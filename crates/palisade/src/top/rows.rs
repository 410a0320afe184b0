//! What rows say, on the screen and in plain text.

use palisade_live::control::message::Ip;
use palisade_live::control::top::{Flow, Rule};

use super::model::{Model, Tab};
use crate::control::{size, span};

/// A column: name, width, whether it stands at the right.
pub struct Column {
    pub name: &'static str,
    pub width: u16,
    pub right: bool,
}

const fn column(name: &'static str, width: u16, right: bool) -> Column {
    Column { name, width, right }
}

const FLOWS: &[Column] = &[
    column("PROTO", 5, false),
    column("FROM", 22, false),
    column("TO", 22, false),
    column("STATE", 11, false),
    column("AGE", 11, true),
    column("LEFT", 11, true),
    column("PACKETS", 9, true),
    column("BYTES", 10, true),
    column("RATE", 12, true),
    column("BY", 28, false),
];

const RULES: &[Column] = &[
    column("PLACE", 26, false),
    column("PACKETS", 9, true),
    column("BYTES", 10, true),
    column("PACKETS/S", 10, true),
    column("RATE", 12, true),
    column("RULE", 60, false),
];

/// The columns of the table that is shown.
pub fn columns(tab: Tab) -> &'static [Column] {
    match tab {
        Tab::Flows => FLOWS,
        Tab::Rules => RULES,
    }
}

/// The rows of the table that is shown.
pub fn rows(model: &Model) -> Vec<Vec<String>> {
    match model.tab {
        Tab::Flows => model.flows().iter().map(|f| flow(model, f)).collect(),
        Tab::Rules => model.rules().iter().map(|r| rule(model, r)).collect(),
    }
}

/// What stands for something that is not known.
const UNKNOWN: &str = "-";

fn rate(model: &Model, bytes: u64) -> String {
    match model.per_second(bytes) {
        Some(rate) => format!("{}/s", size(rate.round() as u64)),
        None => UNKNOWN.to_string(),
    }
}

fn flow(model: &Model, flow: &Flow) -> Vec<String> {
    let counted = |text: String| match model.frame.counted {
        true => text,
        false => UNKNOWN.to_string(),
    };
    let by = match flow.verdict.as_str() {
        "" => String::new(),
        verdict => format!("{verdict} {}", flow.by),
    };
    vec![
        flow.protocol.clone(),
        flow.from.clone(),
        flow.to.clone(),
        flow.state.clone(),
        span(flow.age),
        span(flow.timeout),
        counted(flow.packets.to_string()),
        counted(size(flow.bytes)),
        counted(rate(model, flow.new_bytes)),
        by,
    ]
}

fn place(rule: &Rule) -> String {
    let family = match rule.family {
        Ip::V4 => "",
        Ip::V6 => "6 ",
    };
    let number = match rule.number {
        0 => "policy".to_string(),
        n => n.to_string(),
    };
    format!("{family}{} {} {number}", rule.table, rule.chain)
}

fn rule(model: &Model, rule: &Rule) -> Vec<String> {
    let packets = match model.per_second(rule.new_packets) {
        Some(rate) => format!("{rate:.0}"),
        None => UNKNOWN.to_string(),
    };
    vec![
        place(rule),
        rule.packets.to_string(),
        size(rule.bytes),
        packets,
        rate(model, rule.new_bytes),
        rule.text.clone(),
    ]
}

/// The whole of the row that is looked at: who, and what becomes of it by which rule.
pub fn detail(model: &Model) -> String {
    match model.tab {
        Tab::Flows => match model.flows().get(model.at) {
            Some(f) => {
                let rule = match (f.verdict.as_str(), f.rule.as_str()) {
                    ("", _) => String::new(),
                    (verdict, "") => format!(": {verdict} by {}", f.by),
                    (verdict, rule) => format!(": {verdict} by {}: {rule}", f.by),
                };
                format!(
                    "#{} {} {} to {} mark {}{rule}",
                    f.number, f.protocol, f.from, f.to, f.mark
                )
            }
            None => String::new(),
        },
        Tab::Rules => match model.rules().get(model.at) {
            Some(r) => format!("{}: {}", place(r), r.text),
            None => String::new(),
        },
    }
}

/// Packets by verdict, and how full the table is.
pub fn summary(model: &Model) -> String {
    let verdicts = model.frame.packets.iter().filter(|v| v.packets > 0);
    let mut parts: Vec<String> = verdicts
        .map(|v| format!("{} {}", v.verdict, v.packets))
        .collect();
    let room = match model.frame.max {
        0 => String::new(),
        max => format!(" of {max}"),
    };
    parts.push(format!("{} connections{room}", model.frame.entries));
    if !model.frame.counted {
        parts.push(String::from(
            "traffic not counted: --sysctl nf_conntrack_acct=1",
        ));
    }
    parts.join("   ")
}

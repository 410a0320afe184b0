//! The table, for people and for programs.

use std::fmt::Write;

use anstyle::AnsiColor;
use serde_json::{Value, json};

use super::case::{Bound, REFERENCE};
use super::figure::{Figure, Unit};
use crate::output::Paint;

/// The head of the table.
pub fn head(paint: Paint) -> String {
    let line = format!(
        "{:<24} {:>9} {:>9} {:>9}  {:<5} {:>6} {:>7}  {:<14} {:<14} kernel",
        "case", "median", "min", "max", "", "spread", "instr", "must", "aim"
    );
    paint.dim(&line)
}

/// What stands below it.
pub fn foot(paint: Paint) -> String {
    let text = format!(
        "ns: nanoseconds a packet; ratio: times as many packets in the same time; instr: instructions a packet, where the system counts them.\n\
         kernel: what Linux netfilter needs for the same, as the project measured it, not on this machine:\n\
         {REFERENCE}."
    );
    let lines: Vec<String> = text.lines().map(|line| paint.dim(line)).collect();
    lines.join("\n")
}

/// A case's line, and its notes.
pub fn line(figure: &Figure, before: &[Figure], paint: Paint) -> String {
    let goal = figure.case.goal();
    let several = figure.samples.len() > 1;
    let dash = || "-".to_string();
    let range = |value: f64| if several { number(value) } else { dash() };
    let spread = match several {
        true => format!("{:.0}%", figure.spread() * 100.0),
        false => dash(),
    };
    let instructions = figure
        .instructions()
        .map_or_else(dash, |n| format!("{n:.0}"));
    let bound = |bound: Option<Bound>| {
        let text = format!("{:<14}", bound.map_or_else(dash, told));
        match bound.and_then(|b| figure.keeps(b, before)) {
            Some(true) => paint.color(AnsiColor::Green, &text),
            Some(false) => paint.color(AnsiColor::Red, &text),
            None => text,
        }
    };
    let kernel = match goal.kernel {
        None => dash(),
        Some([a, b]) if a == b => number(a),
        Some([a, b]) => format!("{}–{}", number(a), number(b)),
    };
    let mut text = format!(
        "{:<24} {:>9} {:>9} {:>9}  {:<5} {:>6} {:>7}  {} {} {kernel}",
        figure.case.to_string(),
        number(figure.median()),
        range(figure.min()),
        range(figure.max()),
        figure.unit.name(),
        spread,
        instructions,
        bound(goal.must),
        bound(goal.aim),
    );
    for note in figure.notes.iter() {
        let _ = write!(text, "\n  {note}");
    }
    for warning in figure.warning.iter().chain(&figure.fault) {
        let _ = write!(text, "\n  {}", paint.color(AnsiColor::Red, warning));
    }
    text
}

/// A bound in words.
fn told(bound: Bound) -> String {
    match bound {
        Bound::AtMost(most) => format!("≤ {}", number(most)),
        Bound::AtLeast(least) => format!("≥ {}", number(least)),
        Bound::Times(times, case) => {
            let name = case.to_string();
            let size = name.rsplit('-').next().unwrap_or_default();
            format!("≤ {times} × at {size}")
        }
    }
}

/// With as many digits as say something.
fn number(value: f64) -> String {
    match value {
        v if v < 0.0995 => format!("{v:.4}"),
        v if v < 9.95 => format!("{v:.2}"),
        v if v < 99.5 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// In hundredths, or of small values in ten thousandths of themselves: more than any clock here can tell.
pub fn rounded(value: f64) -> f64 {
    let digits = 3 - value.max(f64::MIN_POSITIVE).log10().floor() as i32;
    let scale = 10f64.powi(digits.clamp(2, 12));
    (value * scale).round() / scale
}

/// The object of a case, its name first.
pub fn object(figure: &Figure, before: &[Figure]) -> String {
    let mut fields: Vec<(&str, Value)> = Vec::new();
    let round = |value: f64| json!(rounded(value));
    let goal = figure.case.goal();
    fields.push(("case", json!(figure.case.to_string())));
    fields.push((figure.unit.name(), round(figure.median())));
    fields.push(("min", round(figure.min())));
    fields.push(("max", round(figure.max())));
    fields.push(("rounds", json!(figure.samples.len())));
    if figure.unit == Unit::Nanoseconds {
        fields.push(("packets", json!(figure.packets)));
        let instructions = figure.instructions();
        fields.push(("instructions", instructions.map_or(Value::Null, round)));
    }
    for (name, bound) in [("must", goal.must), ("aim", goal.aim)] {
        let bound = match bound {
            None => continue,
            Some(Bound::AtMost(bound) | Bound::AtLeast(bound)) => json!(bound),
            Some(Bound::Times(times, case)) => {
                json!({"times": times, "case": case.to_string()})
            }
        };
        fields.push((name, bound));
    }
    if let Some(must) = goal.must {
        fields.push(("met", json!(figure.keeps(must, before))));
    }
    if let Some(kernel) = goal.kernel {
        fields.push(("kernel", json!(kernel)));
    }
    let further = figure.further.iter();
    fields.extend(further.map(|(name, value)| (*name, value.clone())));
    if let Some(warning) = &figure.warning {
        fields.push(("warning", json!(warning)));
    }
    if let Some(fault) = &figure.fault {
        fields.push(("fault", json!(fault)));
    }
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{}:{value}", json!(name)))
        .collect();
    format!("{{{}}}", fields.join(","))
}

#[cfg(test)]
mod tests {
    use super::super::case::{Case, Mix};
    use super::*;
    use crate::args::Color;

    fn figure() -> Figure {
        let mut figure = Figure::new(Case::Established(65_536, Mix::Udp), Unit::Nanoseconds);
        figure.samples = vec![48.0, 44.0, 61.5];
        (figure.packets, figure.right) = (3000, 3000);
        figure
    }

    #[test]
    fn a_line_has_a_value_for_every_column() {
        let paint = Paint::stdout(Color::Never);
        assert_eq!(
            line(&figure(), &[], paint),
            "established-65536             48.0      44.0      61.5  ns       36%       -  ≤ 50.0         ≤ 35.0         560–640"
        );
        let mut rules = Figure::new(Case::Rules(1000), Unit::Nanoseconds);
        rules.samples = vec![150.0];
        assert_eq!(
            line(&rules, &[], paint),
            "rules-1000                     150         -         -  ns         -       -  ≤ 2 × at 10    ≤ 1 × at 10    -"
        );
    }

    #[test]
    fn digits_that_say_nothing_are_left_out() {
        for (value, people, programs) in [
            (48123.456, "48123", 48123.46),
            (48.126, "48.1", 48.13),
            (0.00312345, "0.0031", 0.003123),
            (0.5, "0.50", 0.5),
            (0.0, "0.0000", 0.0),
        ] {
            assert_eq!(number(value), people);
            assert_eq!(rounded(value), programs);
        }
    }

    #[test]
    fn an_object_has_the_names_of_the_contract() {
        assert_eq!(
            object(&figure(), &[]),
            "{\"case\":\"established-65536\",\"ns\":48.0,\"min\":44.0,\"max\":61.5,\"rounds\":3,\"packets\":3000,\
             \"instructions\":null,\"must\":50.0,\"aim\":35.0,\"met\":true,\"kernel\":[560.0,640.0]}"
        );
    }
}

//! `# palisade: allow PL007 reason`: a finding that somebody looked at and wants.
//!
//! Before anything else in the file it holds for the whole file, behind a command for its line, elsewhere for the
//! next line that is no comment.

use crate::finding::{Finding, Report, Source};
use crate::lints::{self, Lint};
use crate::places::Places;

/// One allowed lint.
struct Allowed {
    code: String,
    span: (usize, usize),
    /// The line it speaks of; none for the whole file.
    line: Option<u32>,
    used: bool,
}

/// Takes allowed findings out and adds one for each comment that allowed nothing.
pub(crate) fn apply(
    sources: &[Source<'_>],
    places: &[Places<'_>],
    findings: Vec<Finding>,
) -> Vec<Finding> {
    let mut allowed: Vec<Vec<Allowed>> = places.iter().map(read).collect();
    let mut kept: Vec<Finding> = findings
        .into_iter()
        .filter(|f| {
            let mut hit = false;
            for a in allowed[f.file].iter_mut() {
                let here = a
                    .line
                    .is_none_or(|line| covers_line(f, &places[f.file], line));
                if a.code.eq_ignore_ascii_case(f.lint.code) && here {
                    a.used = true;
                    hit = true;
                }
            }
            !hit
        })
        .collect();
    let mut report = Report::new(places);
    for (file, list) in allowed.iter().enumerate().take(sources.len()) {
        report.begin(&lints::UNUSED, file);
        for a in list.iter().filter(|a| !a.used) {
            let known = lints::find(&a.code);
            report
                .add(
                    a.span,
                    match known {
                        Some(Lint { code, name, .. }) => {
                            format!(
                                "{code} ({name}) finds nothing here that this comment could allow"
                            )
                        }
                        None => format!("there is no lint '{}'", a.code),
                    },
                )
                .help(match known {
                    Some(_) => "take the comment away",
                    None => "palisade check --list-lints names them all",
                })
                .replace(a.span, "");
        }
    }
    kept.append(&mut report.findings);
    kept
}

/// A finding may span several lines of a continued command.
fn covers_line(f: &Finding, places: &Places<'_>, line: u32) -> bool {
    let last = places.line_and_column(f.end.max(f.start + 1) - 1).0;
    (f.line..=last).contains(&line)
}

fn read(places: &Places<'_>) -> Vec<Allowed> {
    let mut found = Vec::new();
    let mut waiting: Vec<Allowed> = Vec::new();
    let mut begun = false;
    for (number, (start, text)) in places.lines().enumerate() {
        let line = number as u32 + 1;
        let trimmed = text.trim();
        let comment = trimmed.starts_with('#');
        let mut here = comments(text, start);
        if comment {
            if begun {
                waiting.append(&mut here);
            } else {
                found.append(&mut here);
            }
            continue;
        }
        if trimmed.is_empty() {
            continue;
        }
        begun = true;
        for mut a in waiting.drain(..).chain(here) {
            a.line = Some(line);
            found.push(a);
        }
    }
    // A comment at the end speaks of no line; it stays and is reported.
    found.extend(waiting.into_iter().map(|mut a| {
        a.line = Some(0);
        a
    }));
    found
}

fn comments(line: &str, start: usize) -> Vec<Allowed> {
    let Some(hash) = line.find('#') else {
        return Vec::new();
    };
    let rest = &line[hash + 1..];
    let Some(body) = rest.trim_start().strip_prefix("palisade:") else {
        return Vec::new();
    };
    let Some(codes) = body.trim_start().strip_prefix("allow") else {
        return Vec::new();
    };
    codes
        .split([' ', ',', '\t'])
        .map(str::trim)
        .filter(|w| !w.is_empty())
        .take_while(|w| {
            w.get(..2).is_some_and(|p| p.eq_ignore_ascii_case("PL"))
                && w.len() > 2
                && w[2..].bytes().all(|b| b.is_ascii_digit())
        })
        .map(|code| Allowed {
            code: code.to_string(),
            span: (start + hash, start + line.trim_end().len()),
            line: None,
            used: false,
        })
        .collect()
}

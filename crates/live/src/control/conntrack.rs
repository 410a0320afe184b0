//! `conntrack` for clients: the table is looked at part by part, and what is said goes out between the parts.

use std::collections::HashMap;
use std::time::Duration;

use palisade_engine::conntrack::events::Happened;
use palisade_engine::conntrack::expect::ExpectId;
use palisade_engine::conntrack::tool::{self, Begun, Desk, Expected, Kind, Watch, Work};
use palisade_engine::conntrack::{Direction, Tuple};
use palisade_engine::rules::names;

use super::frame::FrameError;
use super::message::{Answer, Ended};
use super::server::Replies;
use super::service::Control;
use crate::Gate;

/// Slots of the table that are looked at while packets wait.
const SLOTS: usize = 1 << 10;

/// How often is looked whether something happened.
const LOOK: Duration = Duration::from_millis(50);

/// Expectations whose announcing connections are remembered.
const MASTERS: usize = 65_536;

/// What the tool says when it cannot follow.
const LOST: &str = "WARNING: We have hit ENOBUFS! We are losing events.\nThis message means that the current netlink \
     socket buffer size is too small.\nPlease, check --buffer-size in conntrack(8) manpage.\n";

/// The number of a protocol's name, as the system knows it.
fn protocol(name: &str) -> Option<u8> {
    let plain = !name.starts_with(|c: char| c.is_ascii_digit()) && name != "all";
    plain.then(|| names::protocol_number(name)).flatten()
}

/// What a command line of `conntrack` did.
pub(super) fn answer(
    control: &Control,
    words: &[String],
    file: Option<&str>,
    east: i32,
    replies: &Replies<'_>,
) -> Result<Ended, FrameError> {
    let gate = control.gate();
    let labels = gate.with(|engine, _| engine.conntrack().config().labels.clone());
    let desk = Desk {
        protocol,
        protocol_name: names::protocol_named,
        east,
        ..Desk::new(&labels)
    };
    let last = match tool::begin(words, file, &desk) {
        Begun::Over(answer) => answer,
        Begun::Work(work) => work_off(gate, *work, &desk, replies)?,
        Begun::Watch(watch, first) => {
            said(&first.output, &first.errors, replies)?;
            return watched(control, *watch, &desk, replies);
        }
    };
    said(&last.output, &last.errors, replies)?;
    Ok(match last.code {
        0 => Ended::Yes,
        1 => Ended::No,
        _ => Ended::BadInput,
    })
}

/// Shows what happens until the client goes away.
fn watched(
    control: &Control,
    mut watch: Watch,
    desk: &Desk<'_>,
    replies: &Replies<'_>,
) -> Result<Ended, FrameError> {
    let gate = control.gate();
    let seat = control.watchers().sit(gate);
    // That it watches is told before anything happens.
    replies.send(&Answer::Text(String::new()))?;
    let config = gate.with(|engine, _| engine.conntrack().config().clone());
    let mut masters: HashMap<ExpectId, Tuple> = HashMap::new();
    while !replies.gone() && !gate.stopping() {
        let lying = seat.take();
        let mut text = String::new();
        for happened in &lying.happened {
            text += &match &**happened {
                Happened::Connection(event) => {
                    let record = event.record(&config);
                    watch.connection(event.kind, &record, None, desk, event.time)
                }
                Happened::Expectation(event) => {
                    let expectation = &event.expectation;
                    // Who announced it is gone before it, often.
                    let master = masters.remove(&expectation.id).or_else(|| {
                        gate.with(|engine, _| {
                            let entry = engine.conntrack().announcer(expectation)?;
                            Some(entry.tuple(Direction::Original))
                        })
                    });
                    let Some(master) = master else {
                        continue;
                    };
                    if event.kind != Kind::Destroy && masters.len() < MASTERS {
                        masters.insert(expectation.id, master);
                    }
                    let now = gate.now();
                    let expected = Expected::of(expectation, master, now);
                    watch.expectation(event.kind, &expected, desk, now)
                }
            };
        }
        replies.text(&text)?;
        if lying.lost > 0 {
            replies.send(&Answer::Errors(LOST.to_string()))?;
        }
        if lying.happened.is_empty() {
            std::thread::sleep(LOOK);
        }
    }
    let (output, errors) = watch.end();
    said(&output, &errors, replies)?;
    Ok(Ended::Yes)
}

fn work_off(
    gate: &Gate,
    mut work: Work,
    desk: &Desk<'_>,
    replies: &Replies<'_>,
) -> Result<tool::Answer, FrameError> {
    loop {
        let done = gate.with(|engine, now| work.step(engine.conntrack_mut(), desk, now, SLOTS));
        if done {
            return Ok(work.finish());
        }
        let (output, errors) = work.take();
        said(&output, &errors, replies)?;
    }
}

fn said(output: &str, errors: &str, replies: &Replies<'_>) -> Result<(), FrameError> {
    replies.text(output)?;
    if !errors.is_empty() {
        replies.send(&Answer::Errors(errors.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::message::{Answer, Ended, Request};
    use super::super::server::Bounds;
    use super::super::tests::{RULES, Running, gate};

    fn say(running: &Running, line: &str, file: Option<&str>) -> (String, String, Ended) {
        let words = std::iter::once("conntrack").chain(line.split_whitespace());
        let request = Request::Conntrack {
            words: words.map(String::from).collect(),
            file: file.map(String::from),
            east: 0,
        };
        let (parts, ended) = running.ask(&request);
        let (mut output, mut errors) = (String::new(), String::new());
        for part in parts {
            match part {
                Answer::Text(text) => output += &text,
                Answer::Errors(text) => errors += &text,
                other => panic!("{other:?}"),
            }
        }
        (output, errors, ended)
    }

    #[test]
    fn connections_are_made_listed_and_deleted_over_the_socket() {
        let running = Running::start(gate(RULES), Bounds::default());
        let mut file = String::new();
        // More than are looked at in one go.
        for port in 1..=3000 {
            file +=
                &format!("-A -t 300 -p udp -s 10.0.0.1 -d 10.0.0.2 --sport {port} --dport 53\n");
        }
        let loaded = say(&running, "-R -", Some(&file));
        assert_eq!(loaded, (String::new(), String::new(), Ended::Yes));
        let (output, errors, ended) = say(&running, "-L -p udp", None);
        assert_eq!(output.lines().count(), 3000);
        assert_eq!(
            errors,
            "conntrack v1.4.7 (conntrack-tools): 3000 flow entries have been shown.\n"
        );
        assert_eq!(ended, Ended::Yes);
        let none = say(&running, "-D -s 10.9.9.9", None);
        assert_eq!((none.0.as_str(), none.2), ("", Ended::No));
        let wrong = say(&running, "-L -p nosuch", None);
        assert!(
            wrong.1.contains("`nosuch' unsupported protocol"),
            "{wrong:?}"
        );
        assert_eq!(wrong.2, Ended::BadInput);
        let (_, errors, _) = say(&running, "-D -p 17 -d 10.0.0.2", None);
        assert!(
            errors.contains(": 3000 flow entries have been deleted"),
            "{errors}"
        );
        assert_eq!(say(&running, "-C", None).0, "0\n");
    }

    #[test]
    fn all_who_watch_are_told_what_happens() {
        let running = Running::start(gate(RULES), Bounds::default());
        let watch = |line: &str| {
            let words = std::iter::once("conntrack").chain(line.split_whitespace());
            let request = Request::Conntrack {
                words: words.map(String::from).collect(),
                file: None,
                east: 0,
            };
            let mut asked = super::super::ask(&running.path, &request).expect("an answer");
            // The first part says that it watches.
            assert!(matches!(asked.part(), Ok(Answer::Text(text)) if text.is_empty()));
            asked
        };
        let mut lines = [watch("-E -p udp"), watch("-E -e DESTROY -o id")];
        let tuple = "-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 7 --dport 53";
        say(&running, &format!("-I -t 300 {tuple}"), None);
        say(&running, &format!("-D {tuple}"), None);
        let mut told = |n: usize, count: usize| {
            let mut text = String::new();
            while text.lines().count() < count {
                match lines[n].part().expect("a part") {
                    Answer::Text(piece) => text += &piece,
                    other => panic!("{other:?}"),
                }
            }
            text
        };
        let flow = "src=10.0.0.1 dst=10.0.0.2 sport=7 dport=53 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=53 dport=7";
        let both = told(0, 2);
        assert!(
            both.starts_with(&format!("    [NEW] udp      17 300 {flow}")),
            "{both}"
        );
        assert!(
            both.lines()
                .nth(1)
                .is_some_and(|l| l.starts_with("[DESTROY] udp      17 ")),
            "{both}"
        );
        let one = told(1, 1);
        assert!(
            one.starts_with("[DESTROY]") && one.trim_end().ends_with("id=1"),
            "{one}"
        );
        drop(lines);
        // With the last of them recording ends.
        let watched = || {
            running
                .control
                .gate()
                .with(|engine, _| engine.conntrack().watched())
        };
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while watched() && std::time::Instant::now() < until {
            std::thread::yield_now();
        }
        assert!(!watched());
    }
}

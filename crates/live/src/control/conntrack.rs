//! `conntrack` for clients: the table is looked at part by part, and what is said goes out between the parts.

use palisade_engine::conntrack::tool::{self, Begun, Desk, Work};
use palisade_engine::rules::names;

use super::frame::FrameError;
use super::message::{Answer, Ended};
use super::server::Replies;
use crate::Gate;

/// Slots of the table that are looked at while packets wait.
const SLOTS: usize = 1 << 10;

/// The number of a protocol's name, as the system knows it.
fn protocol(name: &str) -> Option<u8> {
    let plain = !name.starts_with(|c: char| c.is_ascii_digit()) && name != "all";
    plain.then(|| names::protocol_number(name)).flatten()
}

/// What a command line of `conntrack` did.
pub(super) fn answer(
    gate: &Gate,
    words: &[String],
    file: Option<&str>,
    east: i32,
    replies: &Replies<'_>,
) -> Result<Ended, FrameError> {
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
        Begun::Watch(..) => {
            replies.said("events of connections are not told here yet; conntrack -L lists them")?;
            return Ok(Ended::No);
        }
    };
    said(&last.output, &last.errors, replies)?;
    Ok(match last.code {
        0 => Ended::Yes,
        1 => Ended::No,
        _ => Ended::BadInput,
    })
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
}

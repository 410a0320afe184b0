//! `-j NFQUEUE`.

use super::prelude::*;

/// `-j NFQUEUE`: hands the packet to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nfqueue {
    /// The queue, the first of several.
    pub first: u16,
    /// The last; connections are spread over all.
    pub last: u16,
    /// `--queue-bypass`: while no program listens the packet goes on as if accepted.
    pub bypass: bool,
    /// `--queue-cpu-fanout`: the processor decides on the queue.
    pub by_processor: bool,
}

/// `first:last`, which must be different (`NFQUEUE_parse_v3`).
fn queues(text: &str) -> Value<(u16, u16)> {
    let Some((first, last)) = text.split_once(':') else {
        return Err(Bad::new(format!("'{text}' is one queue, not several"))
            .help(format!("--queue-num {text}, or {text}:LAST"))
            .said(format!("Bad range \"{text}\"")));
    };
    let end = |text: &str, default| match text {
        "" => Ok(default),
        text => read::short(text),
    };
    let (first, last) = (end(first, 0)?, end(last, u16::MAX)?);
    if first >= last {
        return Err(
            Bad::new(format!("the queues {text} are not in ascending order"))
                .said(format!("{first} should be less than {last}")),
        );
    }
    if first == 0 && last == u16::MAX {
        return Err(Bad::new("all 65536 queues at once are one too many").help("0:65534"));
    }
    Ok((first, last))
}

impl Spec for Nfqueue {
    const ROW: Extension =
        Extension::new("NFQUEUE", Families::Both, "Hands the packet to a program.")
            .options(&[
                opt("queue-num", "QUEUE", "number of the queue; 0 if not said")
                    .excludes(&["queue-balance"]),
                opt(
                    "queue-balance",
                    "FIRST:LAST",
                    "connections spread over several queues",
                )
                .excludes(&["queue-num"]),
                flag(
                    "queue-bypass",
                    "while no program listens the packet is accepted",
                ),
                flag(
                    "queue-cpu-fanout",
                    "the processor decides on the queue, not the connection",
                )
                .requires(&["queue-balance"]),
            ])
            .needs(&[Need::Host]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let number = l.plain("queue-num", read::short)?.unwrap_or(0);
        let (first, last) = l
            .plain("queue-balance", queues)?
            .unwrap_or((number, number));
        Ok(Nfqueue {
            first,
            last,
            bypass: l.has("queue-bypass"),
            by_processor: l.has("queue-cpu-fanout"),
        })
    }

    fn list(&self, out: &mut Out) {
        out.word("NFQUEUE");
        if self.first == self.last {
            out.word(format_args!("num {}", self.first));
        } else {
            out.word(format_args!("balance {}:{}", self.first, self.last));
        }
        if self.bypass {
            out.word("bypass");
        }
        if self.by_processor {
            out.word("cpu-fanout");
        }
    }

    fn write(&self, out: &mut Out) {
        if self.first == self.last {
            out.opt("queue-num", self.first);
        } else {
            out.opt(
                "queue-balance",
                format_args!("{}:{}", self.first, self.last),
            );
        }
        if self.bypass {
            out.flag("queue-bypass");
        }
        if self.by_processor {
            out.flag("queue-cpu-fanout");
        }
    }
}

//! SCTP associations.

use super::chance::Chance;
use super::{Story, Teller};

pub(super) fn story(chance: &mut Chance, number: usize) -> Story {
    let client = if chance.one_in(6) {
        7_000
    } else {
        7_000 + number
    };
    let mut teller = Teller::new(chance, number).with_ports(client, "3868");
    let life: [(bool, &str); 8] = [
        (false, "init"),
        (true, "init-ack"),
        (false, "cookie-echo"),
        (true, "cookie-ack"),
        (false, "data len 20"),
        (true, "sack"),
        (false, "heartbeat"),
        (true, "heartbeat-ack"),
    ];
    let end: [(bool, &str); 3] = [
        (false, "shutdown"),
        (true, "shutdown-ack"),
        (false, "shutdown-complete"),
    ];
    let skip = teller.chance.below(24);
    for (at, (back, what)) in life.into_iter().chain(end).enumerate() {
        if at == skip {
            continue;
        }
        if teller.chance.one_in(5) {
            odd(&mut teller);
        }
        teller.say(back, &format!("sctp {what}"));
        if teller.chance.one_in(16) {
            break;
        }
    }
    for _ in 0..teller.chance.below(4) {
        odd(&mut teller);
    }
    teller.end("SCTP")
}

/// A packet that does not belong where it comes.
fn odd(teller: &mut Teller<'_>) {
    let back = teller.chance.one_in(2);
    let what = teller.chance.pick(&[
        "init",
        "init vtag 77",
        "init-ack",
        "init-ack tag 0",
        "cookie-echo",
        "cookie-ack",
        "cookie-echo data len 10",
        "data len 8 vtag 77",
        "data len 8",
        "sack",
        "heartbeat",
        "heartbeat vtag 99",
        "heartbeat-ack vtag +1",
        "abort",
        "abort T",
        "abort vtag 5",
        "shutdown",
        "shutdown-ack",
        "shutdown-complete",
        "shutdown-complete T",
        "error",
        "chunk 192 len 4",
        "chunk 99 length 0",
        "data length 3",
        "init init",
        "data len 5 init",
        "raw hex:00",
        "data len 4 badsum",
        "init badsum",
    ]);
    teller.say(back, &format!("sctp {what}"));
}

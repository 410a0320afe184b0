//! Events of LOG and NFLOG; that their lines are the kernel's is held elsewhere, on the kernel.

use palisade_engine::rules::{Family, Hook, parse};
use palisade_engine::{
    Arrival, Bridge, Engine, Exchange, LinkInfo, LogTarget, MOST_BYTES, MOST_EVENTS, Replacement,
    Route, Setup, Verdict,
};
use palisade_wire::{Timestamp, build};

fn engine(text: &str) -> Engine {
    let rules = parse::auto(text, Family::V4);
    assert!(rules.diagnostics.is_empty(), "{:?}", rules.diagnostics);
    Engine::new(Setup {
        rules4: rules.v4,
        ..Setup::default()
    })
    .unwrap()
}

fn udp(forth: bool, size: usize) -> Vec<u8> {
    let (a, b) = ([10, 0, 0, 2].into(), [203, 0, 113, 9].into());
    match forth {
        true => build::udp(&build::Ip::new(a, b), 4000, 53, &vec![7; size]),
        false => build::udp(&build::Ip::new(b, a), 53, 4000, &vec![7; size]),
    }
}

fn send(engine: &mut Engine, forth: bool, size: usize, now: u64) -> Verdict {
    let (came, leaves) = if forth {
        ("lan0", "wan0")
    } else {
        ("wan0", "lan0")
    };
    let route = Route::Forward(came.into(), leaves.into());
    let port = engine.port(route, Bridge::default());
    let mut bytes = udp(forth, size);
    let mut arrivals = [Arrival {
        link: LinkInfo {
            source_mac: Some([2, 0, 0, 0, 0, 1]),
            destination_mac: Some([2, 0, 0, 0, 0, 2]),
            packet_type: None,
        },
        mark: 5,
        ..Arrival::new(&mut bytes, port)
    }];
    engine.process_batch(&mut arrivals, Timestamp::new(now, 0));
    arrivals[0].judged.verdict
}

#[test]
fn every_packet_of_a_flow_is_told_however_short_its_way() {
    for rule in [
        "-j LOG --log-prefix \"x \"",
        "-j NFLOG --nflog-prefix \"x \" --nflog-group 3",
    ] {
        let mut engine = engine(&format!("-A FORWARD {rule}\n-A FORWARD -j ACCEPT"));
        // Ways are found before anybody listens.
        for now in 0..8 {
            send(&mut engine, now % 2 == 0, 4, now);
        }
        assert_eq!(engine.take_logs().events.len(), 0);
        engine.set_logging(true);
        for now in 8..40 {
            assert_eq!(send(&mut engine, now % 2 == 0, 4, now), Verdict::Accept);
        }
        let taken = engine.take_logs();
        let times: Vec<u64> = taken
            .events
            .iter()
            .map(|e| e.time.0 / 1_000_000_000)
            .collect();
        assert_eq!(times, (8..40).collect::<Vec<u64>>());
        engine.set_logging(false);
        send(&mut engine, true, 4, 40);
        assert_eq!(engine.take_logs().events.len(), 0);
    }
}

#[test]
fn an_event_says_what_the_rule_saw() {
    let mut engine = engine(
        "-t mangle -A FORWARD -j MARK --set-mark 0x20\n-A FORWARD -j LOG --log-prefix \"a \" --log-macdecode\n\
         -A FORWARD -j LOG --log-level 7\n-A FORWARD -j NFLOG --nflog-group 9 --nflog-size 30 --nflog-threshold 2",
    );
    engine.set_logging(true);
    engine.set_wall_ahead(5_000_000_000);
    send(&mut engine, true, 4000, 9);
    let events = engine.take_logs().events;
    let [first, second, third] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(
        (first.hook, first.mark, first.length),
        (Hook::Forward, 0x20, 4028)
    );
    assert_eq!(first.bytes.len(), MOST_BYTES);
    // Lowered already.
    assert_eq!(first.bytes[8], 63);
    assert_eq!(
        (first.time, first.wall),
        (Timestamp::new(9, 0), Timestamp::new(14, 0))
    );
    assert_eq!(
        first.line(),
        "a IN=lan0 OUT=wan0 MACSRC=02:00:00:00:00:01 MACDST=02:00:00:00:00:02 MACPROTO=0800 SRC=10.0.0.2 \
         DST=203.0.113.9 LEN=4028 TOS=0x00 PREC=0x00 TTL=63 ID=0 PROTO=UDP SPT=4000 DPT=53 LEN=4008 MARK=0x20 "
    );
    assert!(matches!(second.target, LogTarget::Log { level: 7, .. }));
    assert!(
        second
            .line()
            .starts_with("IN=lan0 OUT=wan0 MAC=02:00:00:00:00:02:02:00:00:00:00:01:08:00 SRC=")
    );
    let wanted = LogTarget::Nflog {
        group: 9,
        threshold: 2,
    };
    assert_eq!((&third.target, third.bytes.len()), (&wanted, 30));
}

#[test]
fn what_there_is_no_room_for_is_counted() {
    let mut engine = engine("-A FORWARD -j LOG");
    engine.set_logging(true);
    for now in 0..MOST_EVENTS as u64 + 10 {
        send(&mut engine, true, 4, now);
    }
    // Other rules leave what waits.
    engine
        .replace(Replacement {
            rules4: Exchange::For(None),
            ..Replacement::default()
        })
        .unwrap();
    let taken = engine.take_logs();
    assert_eq!((taken.events.len(), taken.lost), (MOST_EVENTS, 10));
    assert_eq!(engine.take_logs(), Default::default());
}

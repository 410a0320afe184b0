//! Events on their way into files.

use std::fs;

use palisade_capture::pcap;
use palisade_engine::LinkInfo;
use palisade_rules::{Family, Hook};
use palisade_wire::build;

use super::*;

const LONG: Duration = Duration::from_secs(20);

const LOG: LogTarget = LogTarget::Log {
    level: 4,
    tcp_sequence: false,
    tcp_options: false,
    ip_options: false,
    uid: false,
    macdecode: false,
};

const NFLOG: LogTarget = LogTarget::Nflog {
    group: 1,
    threshold: 1,
};

/// An event of a packet whose IP identification is its number.
fn event(target: LogTarget, number: u16) -> LogEvent {
    let ip = build::Ip::new("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    let mut bytes = build::udp(&ip, 1000, 53, b"?");
    bytes[4..6].copy_from_slice(&number.to_be_bytes());
    let begin = Timestamp::new(1_795_280_696, 123_456_789);
    LogEvent {
        time: begin,
        wall: begin + Duration::from_secs(number.into()),
        family: Family::V4,
        hook: Hook::Input,
        in_interface: Some("eth0".to_owned()),
        out_interface: None,
        prefix: "refused: ".to_owned(),
        target,
        length: 1500,
        bytes,
        mark: 0,
        link: LinkInfo::default(),
        owner: None,
    }
}

fn gate() -> Arc<Gate> {
    let engine = palisade_engine::Engine::new(palisade_engine::Setup::default());
    Arc::new(Gate::new(engine.unwrap()))
}

fn wait(log: &RuleLog, number: u64) {
    let begun = Instant::now();
    while log.written.written.load(Relaxed) + log.written.failed.load(Relaxed) < number {
        assert!(begun.elapsed() < LONG, "{:?}", log.written);
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn lines_and_packets_are_where_they_were_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let (lines, packets) = (
        directory.path().join("log"),
        directory.path().join("nflog.pcapng"),
    );
    let to = LogTo::File(lines.clone());
    let mut log = RuleLog::open(&to, Some(&packets), 1 << 20, 0).unwrap();
    let gate = gate();
    log.start(&gate).unwrap();
    let kinds = [LOG, NFLOG, NFLOG];
    let events = (0..).zip(kinds).map(|(number, kind)| event(kind, number));
    log.drain().put(events, Instant::now());
    wait(&log, 3);
    // Another name for the file, as by logrotate.
    fs::rename(&lines, directory.path().join("log.old")).unwrap();
    log.open_again();
    log.drain().put([event(LOG, 3)], Instant::now());
    wait(&log, 4);
    log.drain().put([event(LOG, 4)], Instant::now());
    drop(log);
    let old = fs::read_to_string(directory.path().join("log.old")).unwrap();
    let first = "2026-11-21T17:04:56.123456Z palisade: refused: IN=eth0 OUT= ";
    assert!(old.starts_with(first), "{old}");
    // The one that came with the word to open it again may be in either.
    let new = fs::read_to_string(&lines).unwrap();
    assert!(new.lines().last().unwrap().contains(" ID=4 "), "{new}");
    let written = old + &new;
    assert_eq!(written.lines().count(), 3);
    let fed = gate.feed().from(0, 10, LONG).lines;
    let fed: Vec<&str> = fed.iter().map(|line| &**line).collect();
    assert_eq!(fed, written.lines().collect::<Vec<_>>());
    let (mut reader, _) = pcap::open(&packets).unwrap();
    for number in 1..=2 {
        let frame = reader.next_frame().unwrap().unwrap();
        assert_eq!(frame.time, event(NFLOG, number).wall);
        assert_eq!((frame.data.len(), frame.original_len), (29, 1500));
        assert_eq!(frame.interface.unwrap().as_ref(), "eth0");
    }
    assert!(reader.next_frame().unwrap().is_none());
    let bytes = fs::read(&packets).unwrap();
    assert!(bytes.windows(9).any(|w| w == b"refused: "));
}

#[test]
fn captures_are_bounded_and_go_on_in_a_file_that_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nflog.pcapng");
    for _ in 0..2 {
        let mut packets = Packets::open(&path, 1500).unwrap();
        for number in 0..20 {
            packets.write(&event(NFLOG, number)).unwrap();
        }
    }
    let mut frames = 0;
    for name in ["nflog.pcapng", "nflog.pcapng.1"] {
        let path = directory.path().join(name);
        assert!(fs::metadata(&path).unwrap().len() <= 1500);
        let (mut reader, _) = pcap::open(&path).unwrap();
        while reader.next_frame().unwrap().is_some() {
            frames += 1;
        }
    }
    assert!((15..40).contains(&frames), "{frames}");
    fs::write(&path, "a letter").unwrap();
    let error = Packets::open(&path, 1500).unwrap_err();
    assert!(error.to_string().contains("something else"), "{error:#}");
    assert_eq!(fs::read(&path).unwrap(), b"a letter");
}

#[test]
fn a_full_disk_is_counted() {
    let to = LogTo::File("/dev/full".into());
    let mut log = RuleLog::open(&to, None, 1 << 20, 0).unwrap();
    log.start(&gate()).unwrap();
    let events = (0..3).map(|number| event(LOG, number));
    log.drain().put(events, Instant::now());
    wait(&log, 3);
    assert_eq!(log.written.failed.load(Relaxed), 3);
}

#[test]
fn moments_are_dates() {
    let cases = [
        (0, "1970-01-01T00:00:00.000000Z"),
        (951_782_400, "2000-02-29T00:00:00.000000Z"),
        (951_868_799, "2000-02-29T23:59:59.000000Z"),
        (1_709_164_800, "2024-02-29T00:00:00.000000Z"),
        (4_102_444_800, "2100-01-01T00:00:00.000000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
    ];
    for (seconds, date) in cases {
        assert_eq!(moment(Timestamp::new(seconds, 0)), date);
    }
}

use super::*;
use proptest::prelude::*;

pub(super) type Read = (u64, u64, Vec<u8>);

pub(super) fn frames(bytes: &[u8]) -> (Vec<Read>, Option<CaptureError>) {
    let mut reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut all = Vec::new();
    loop {
        match reader.next_frame() {
            Ok(Some(frame)) => all.push((frame.number, frame.time.0, frame.data.to_vec())),
            Ok(None) => return (all, None),
            Err(error) => return (all, Some(error)),
        }
    }
}

fn written(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), LinkType::Raw).unwrap();
    for (i, packet) in packets.iter().enumerate() {
        writer
            .write(Timestamp::new(i as u64, 7), packet, packet.len())
            .unwrap();
    }
    writer.finish().unwrap()
}

/// A pcapng file made by hand: one section, one interface with name and resolution.
fn ng(big_endian: bool, resolution: u8, ticks: u64) -> Vec<u8> {
    let word = |n: u32| {
        if big_endian {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    };
    let half = |n: u16| {
        if big_endian {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    };
    let mut file = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let length = (12 + body.len()) as u32;
        file.extend(word(kind));
        file.extend(word(length));
        file.extend(body);
        file.extend(word(length));
    };
    let mut section = word(0x1a2b_3c4d).to_vec();
    section.extend(half(1));
    section.extend(half(0));
    section.extend([0xff; 8]);
    block(0x0a0d_0d0a, &section);
    let mut interface = half(101).to_vec();
    interface.extend([0; 6]);
    interface.extend(half(2));
    interface.extend(half(4));
    interface.extend(b"wan0");
    interface.extend(half(9));
    interface.extend(half(1));
    interface.extend([resolution, 0, 0, 0]);
    interface.extend([0; 4]);
    block(1, &interface);
    block(5, &[0; 8]); // statistics: passed over
    let mut packet = word(0).to_vec();
    packet.extend(word((ticks >> 32) as u32));
    packet.extend(word(ticks as u32));
    packet.extend(word(3));
    packet.extend(word(60));
    packet.extend([1, 2, 3, 0]);
    block(6, &packet);
    file
}

#[test]
fn pcapng_in_both_byte_orders_and_clocks() {
    for big_endian in [false, true] {
        for (resolution, ticks, nanoseconds) in [
            (6u8, 1_500_000u64, 1_500_000_000u64),
            (9, 1_500_000_000, 1_500_000_000),
            (0x81, 3, 1_500_000_000),
        ] {
            let file = ng(big_endian, resolution, ticks);
            let mut reader = Reader::new(file.as_slice()).unwrap();
            let frame = reader.next_frame().unwrap().unwrap();
            assert_eq!(frame.time.0, nanoseconds);
            assert_eq!(frame.interface.map(|n| n.to_string()), Some("wan0".into()));
            assert_eq!((frame.data, frame.original_len), (&[1u8, 2, 3][..], 60));
            assert!(frame.snapped());
            assert!(reader.next_frame().unwrap().is_none());
        }
    }
}

#[test]
fn a_file_cut_short_gives_its_good_frames_and_then_says_so() {
    let file = written(&[vec![1; 10], vec![2; 10]]);
    let (good, error) = frames(&file[..file.len() - 1]);
    assert_eq!(good.len(), 1);
    assert!(matches!(error, Some(CaptureError::CutShort { frame: 2 })));
    for (bytes, expect) in [
        (&b""[..], "only 0 bytes"),
        (b"\x7fELF....", "neither pcap nor pcapng"),
    ] {
        let error = Reader::new(bytes).err().unwrap().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

#[test]
fn every_capture_of_the_corpus_reads_to_its_end() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/pcaps");
    let Ok(index) = std::fs::read_to_string(root.join("index.json")) else {
        eprintln!("SKIPPED: no corpus of captures beside the project");
        return;
    };
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let mut total = 0;
    for entry in index["pcaps"].as_array().unwrap() {
        let file = entry["file"].as_str().unwrap();
        let Ok((mut reader, _)) = open(&root.join(file)) else {
            panic!("{file} does not open");
        };
        while let Some(frame) = reader
            .next_frame()
            .unwrap_or_else(|e| panic!("{file}: {e}"))
        {
            let _ = palisade_wire::link::decode(frame.link, frame.data);
        }
        assert_eq!(Some(reader.frames()), entry["packets"].as_u64(), "{file}");
        total += reader.frames();
    }
    println!("{total} frames");
}

proptest! {
    #[test]
    fn what_is_written_is_read(packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 0..20)) {
        let (read, error) = frames(&written(&packets));
        prop_assert!(error.is_none());
        let data: Vec<Vec<u8>> = read.into_iter().map(|f| f.2).collect();
        prop_assert_eq!(data, packets);
    }

    #[test]
    fn damage_never_panics(big in any::<bool>(), flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8), cut in any::<prop::sample::Index>(), classic in any::<bool>()) {
        let mut file = if classic { written(&[vec![1; 30], vec![2; 5]]) } else { ng(big, 6, 5) };
        for (at, value) in flips { let at = at.index(file.len()); file[at] = value; }
        let end = cut.index(file.len()) + 1;
        let _ = frames(&file[..end]);
    }
}

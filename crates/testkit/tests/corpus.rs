//! The corpus of the fuzz targets, replayed and bent: whatever once broke stays mended.

use std::path::{Path, PathBuf};

use palisade_testkit::fuzz::TARGETS;

/// The files of a target's corpus.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let directory = root.join(name);
    let entries = std::fs::read_dir(&directory).expect("each target has a corpus");
    let mut files: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{}: nothing there", directory.display());
    let read = |f: PathBuf| {
        let bytes = std::fs::read(&f).expect("a readable file");
        (f, bytes)
    };
    files.into_iter().map(read).collect()
}

#[test]
fn every_file_of_the_fuzz_corpus_passes_whole_and_cut_short_anywhere() {
    for (name, target) in TARGETS {
        for (path, bytes) in corpus(name) {
            // A panic's message does not say which file it was.
            println!("{}", path.display());
            target(&bytes);
            for cut in 0..bytes.len().min(300) {
                target(bytes.get(..cut).unwrap_or_default());
            }
        }
    }
}

#[test]
fn bytes_of_the_fuzz_corpus_changed_moved_and_doubled_break_nothing() {
    // A small generator with a fixed seed: the same bytes in every run.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below.max(1) as u64) as usize
    };
    let rounds = if std::env::var_os("PALISADE_LONG").is_some_and(|v| v == "1") {
        20_000
    } else {
        200
    };
    for (name, target) in TARGETS {
        for (path, bytes) in corpus(name) {
            for _ in 0..rounds {
                let mut bent = bytes.clone();
                for _ in 0..=random(4) {
                    let (at, to) = (random(bent.len()), random(bent.len()));
                    match random(5) {
                        0 => bent[at..=at].fill(random(256) as u8),
                        1 => bent[at] ^= 1 << random(8),
                        2 => bent.swap(at, to),
                        3 => {
                            let piece = bent[at.min(to)..at.max(to)].to_vec();
                            bent.splice(at..at, piece);
                        }
                        _ => drop(bent.drain(at.min(to)..at.max(to))),
                    }
                    if bent.is_empty() {
                        bent.push(0);
                    }
                }
                let shown = bent.clone();
                let result = std::panic::catch_unwind(|| target(&bent));
                assert!(
                    result.is_ok(),
                    "{name}, from {}: {:?}",
                    path.display(),
                    String::from_utf8_lossy(&shown)
                );
            }
        }
    }
}

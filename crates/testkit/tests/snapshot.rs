//! Connections that are saved and taken over go on as if nothing had happened: over every script of the project and
//! over scripts by chance, everything that can be seen stays the same.

use palisade_capture::script::parse;
use palisade_testkit::scripts;
use palisade_testkit::twin::hunt::script_of;
use palisade_testkit::twin::resumed::{Resumed, hold};

fn clean(name: &str, resumed: &Resumed) {
    let told = resumed.differences.join("\n");
    assert!(told.is_empty(), "{name}\n{told}");
}

#[test]
fn every_script_of_the_project_goes_on() {
    let mut all = Resumed::default();
    for path in scripts::all() {
        let text = std::fs::read_to_string(&path).expect("a readable script");
        let (script, faults) = parse(&text);
        assert!(faults.is_empty(), "{}: {faults:?}", path.display());
        let base = path.parent().expect("a directory");
        let resumed = hold(&script, base, 3, 1).expect("rules that run");
        clean(&path.display().to_string(), &resumed);
        all.add(resumed);
    }
    println!("{all:?}");
    assert!(
        all.times > 2_000 && all.connections > 2_000 && all.expectations > 50,
        "{all:?}"
    );
}

#[test]
fn scripts_by_chance_go_on() {
    let mut all = Resumed::default();
    for seed in 0..150 {
        let text = script_of(seed, 60).text;
        let (script, faults) = parse(&text);
        assert!(faults.is_empty(), "{faults:?}");
        let resumed = hold(&script, std::path::Path::new("."), 5, seed).expect("rules that run");
        clean(&text, &resumed);
        all.add(resumed);
    }
    println!("{all:?}");
    assert!(all.times > 500 && all.connections > 500, "{all:?}");
}

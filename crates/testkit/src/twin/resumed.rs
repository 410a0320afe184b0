//! An engine whose connections were saved and taken over by another table, held against one that never stopped.

use std::path::Path;

use anyhow::Result;
use palisade_capture::script::{Event, Script, Test};
use palisade_engine::conntrack::Conntrack;
use palisade_engine::{Engine, Setup};
use palisade_wire::Timestamp;

use super::given;
use super::shown::Shown;
use super::state::State;
use crate::engine::setup;
use crate::generate::Chance;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Resumed {
    /// Packets.
    pub packets: u64,
    /// Times that connections were saved and taken over.
    pub times: u64,
    /// Connections that were taken over, all times together.
    pub connections: u64,
    /// Expectations, likewise.
    pub expectations: u64,
    /// Differences.
    pub differences: Vec<String>,
}

/// Plays all tests of a script, and has the connections saved and taken over one packet in `every`; rules files are
/// relative to `base`. A script with a small table is not played: which connection makes room hangs on where it stands.
///
/// # Errors
/// When the engines cannot be made: rules that are refused.
pub fn hold(script: &Script, base: &Path, every: usize, seed: u64) -> Result<Resumed> {
    let setup = setup(script, base)?;
    let mut resumed = Resumed::default();
    if (1..10_000).contains(&setup.conntrack.max) {
        return Ok(resumed);
    }
    let mut chance = Chance::new(seed);
    for test in &script.tests {
        played(script, test, &setup, every, &mut chance, &mut resumed)?;
    }
    Ok(resumed)
}

fn played(
    script: &Script,
    test: &Test,
    setup: &Setup,
    every: usize,
    chance: &mut Chance,
    resumed: &mut Resumed,
) -> Result<()> {
    let mut on = Engine::new(setup.clone())?;
    let mut stopped = Engine::new(setup.clone())?;
    let mut player = script.play(test, Timestamp(1_000_000_000_000));
    while let Some(event) = player.next() {
        let Event::Packet(sent) = event else {
            continue;
        };
        let (given, now) = (given(&sent), sent.time);
        if chance.one_in(every) {
            take_over(&mut on, &mut stopped, now, resumed);
        }
        let input = given.input(now);
        let a = Shown::alone(&given, on.process(&input, &mut ()));
        let b = Shown::alone(&given, stopped.process(&input, &mut ()));
        resumed.packets += 1;
        let line = given.line;
        let told = a.differences_in_words(&b);
        resumed.say(
            told.into_iter()
                .map(|words| format!("line {line}: {words}")),
        );
        player.left(&sent, a.leaves());
        if !resumed.differences.is_empty() {
            return Ok(());
        }
    }
    Ok(())
}

/// Saves the connections of an engine, has them taken over in their own place and by a new table, and looks whether
/// there is a difference to those of the one that never stopped.
fn take_over(on: &mut Engine, stopped: &mut Engine, now: Timestamp, resumed: &mut Resumed) {
    // What ended and was not collected yet is nothing that can be taken over.
    on.expire(now);
    stopped.expire(now);
    let bytes = stopped.conntrack().snapshot(now);
    let mut fresh = Conntrack::new(stopped.conntrack().config().clone());
    let table = stopped.conntrack_mut();
    table.end_all();
    let both = (table.restore(&bytes, now), fresh.restore(&bytes, now));
    match both {
        (Ok(restored), Ok(_)) => {
            resumed.times += 1;
            resumed.connections += restored.connections as u64;
            resumed.expectations += restored.expectations as u64;
        }
        (a, b) => resumed.say([format!("{a:?} {b:?}")].into_iter()),
    }
    let there = State::of_connections(on.conntrack(), now);
    for (who, table) in [("resumed", stopped.conntrack()), ("a new table", &fresh)] {
        let told = there.differences(&State::of_connections(table, now), who);
        resumed.say(told.into_iter());
    }
    if fresh.snapshot(now) != bytes {
        resumed.say(["saved again it is not the same".to_owned()].into_iter());
    }
}

impl Resumed {
    fn say(&mut self, words: impl Iterator<Item = String>) {
        let room = 20usize.saturating_sub(self.differences.len());
        self.differences.extend(words.take(room));
    }

    /// Adds another's sums; its differences too.
    pub fn add(&mut self, other: Resumed) {
        self.packets += other.packets;
        self.times += other.times;
        self.connections += other.connections;
        self.expectations += other.expectations;
        self.differences.extend(other.differences);
    }
}

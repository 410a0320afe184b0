//! What a case measured.

use serde_json::Value;

use super::case::{Bound, Case};
use super::lane::Tally;
use super::ruleset::Entrance;

/// What a figure is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds a packet.
    Nanoseconds,
    /// Milliseconds.
    Milliseconds,
    /// Bytes.
    Bytes,
    /// How many times as much.
    Ratio,
}

impl Unit {
    /// Its name in JSON, and for people.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Nanoseconds => "ns",
            Unit::Milliseconds => "ms",
            Unit::Bytes => "bytes",
            Unit::Ratio => "ratio",
        }
    }
}

/// The rounds of a case.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The case.
    pub case: Case,
    /// What the samples are in.
    pub unit: Unit,
    /// One a round.
    pub samples: Vec<f64>,
    /// Packets of all rounds.
    pub packets: u64,
    /// How many of them were judged as the case claims.
    pub right: u64,
    /// Instructions a packet of each round, where they can be counted.
    instructions: Vec<f64>,
    /// Further figures, for programs.
    pub further: Vec<(&'static str, Value)>,
    /// Further words, for people.
    pub notes: Vec<String>,
    /// Why the figure may not be what its name says.
    pub warning: Option<String>,
    /// What must not be.
    pub fault: Option<String>,
    wrong: Option<String>,
}

impl Figure {
    /// Without rounds yet.
    pub fn new(case: Case, unit: Unit) -> Self {
        Figure {
            case,
            unit,
            samples: Vec::new(),
            packets: 0,
            right: 0,
            instructions: Vec::new(),
            further: Vec::new(),
            notes: Vec::new(),
            warning: None,
            fault: None,
            wrong: None,
        }
    }

    /// Adds a round of packets.
    pub fn add(&mut self, sample: f64, tally: &Tally) {
        self.samples.push(sample);
        self.packets += tally.packets;
        self.right += tally.right;
        let packets = tally.packets.max(1) as f64;
        self.instructions
            .extend(tally.instructions.map(|n| n as f64 / packets));
        self.wrong = self.wrong.take().or_else(|| tally.wrong.clone());
    }

    /// Adds a figure beside the others.
    pub fn more(&mut self, name: &'static str, value: impl Into<Value>) {
        self.further.push((name, value.into()));
    }

    /// Says, of rules that are not ours, whether packets passed.
    pub fn tell_of_others(&mut self, entrance: &Entrance) {
        self.more("passed", self.right);
        if self.right == self.packets {
            return;
        }
        // The search for a way in knows the rule; a packet that was judged on the short way does not say it.
        let why = entrance.closed.as_deref().or(self.wrong.as_deref());
        self.warning = Some(format!(
            "{} of {} packets did not pass as the case means it, so the figure is that of something else: {}",
            self.packets - self.right,
            self.packets,
            why.unwrap_or("unknown")
        ));
    }

    /// The middle one of the rounds.
    pub fn median(&self) -> f64 {
        middle(&self.samples)
    }

    /// The least.
    pub fn min(&self) -> f64 {
        self.samples.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The largest.
    pub fn max(&self) -> f64 {
        self.samples.iter().copied().fold(0.0, f64::max)
    }

    /// How far they lie apart, by the median.
    pub fn spread(&self) -> f64 {
        (self.max() - self.min()) / self.median().max(f64::MIN_POSITIVE)
    }

    /// Instructions a packet.
    pub fn instructions(&self) -> Option<f64> {
        (!self.instructions.is_empty()).then(|| middle(&self.instructions))
    }

    /// Whether a bound is kept; `None` if that needs a case that was not run.
    pub fn keeps(&self, bound: Bound, others: &[Figure]) -> Option<bool> {
        match bound {
            Bound::AtMost(most) => Some(self.median() <= most),
            Bound::AtLeast(least) => Some(self.median() >= least),
            Bound::Times(times, case) => {
                let other = others.iter().find(|f| f.case == case)?;
                Some(self.median() <= times * other.median())
            }
        }
    }
}

/// The median; of none, 0.
fn middle(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(a), Some(b)) = (
        sorted.get(sorted.len().saturating_sub(1) / 2),
        sorted.get(sorted.len() / 2),
    ) else {
        return 0.0;
    };
    (a + b) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_summed_up() {
        let mut figure = Figure::new(Case::Rules(100), Unit::Nanoseconds);
        figure.samples = vec![30.0, 10.0, 20.0];
        assert_eq!(
            (figure.median(), figure.min(), figure.max()),
            (20.0, 10.0, 30.0)
        );
        assert_eq!(figure.spread(), 1.0);
        figure.samples.push(40.0);
        assert_eq!(figure.median(), 25.0);

        let mut ten = Figure::new(Case::Rules(10), Unit::Nanoseconds);
        ten.samples = vec![12.0];
        let twice = Bound::Times(2.0, Case::Rules(10));
        assert_eq!(figure.keeps(twice, &[]), None);
        assert_eq!(figure.keeps(twice, &[ten.clone()]), Some(false));
        ten.samples = vec![12.5];
        assert_eq!(figure.keeps(twice, &[ten]), Some(true));
        assert_eq!(figure.keeps(Bound::AtMost(24.0), &[]), Some(false));
    }
}

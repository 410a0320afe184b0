//! What is known and what is asked for: order, filter, pause, the row that is looked at.

use std::cmp::Ordering;

use palisade_live::control::top::{Flow, Frame, Rule};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    /// Connections.
    Flows,
    /// Rules.
    Rules,
}

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Bytes since the last frame, and packets where bytes are the same.
    Rate,
    /// Packets.
    Packets,
    /// Bytes.
    Bytes,
    /// Age; of rules, their place.
    Age,
    /// The rule; of rules, their place.
    Rule,
}

impl Sort {
    const ALL: [Sort; 5] = [
        Sort::Rate,
        Sort::Packets,
        Sort::Bytes,
        Sort::Age,
        Sort::Rule,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Sort::Rate => "rate",
            Sort::Packets => "packets",
            Sort::Bytes => "bytes",
            Sort::Age => "age",
            Sort::Rule => "rule",
        }
    }

    fn next(self) -> Sort {
        let at = Sort::ALL.iter().position(|s| *s == self).unwrap_or(0);
        Sort::ALL[(at + 1) % Sort::ALL.len()]
    }
}

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on.
    On,
    /// The end.
    End,
}

/// All of it.
#[derive(Debug)]
pub struct Model {
    /// What is shown: the last frame, or the one at which it was paused.
    pub frame: Frame,
    /// What came while it was paused.
    waiting: Option<Frame>,
    /// Which table.
    pub tab: Tab,
    /// Order.
    pub sort: Sort,
    /// The other way round.
    pub reversed: bool,
    /// Only rows with this text, in any case.
    pub filter: String,
    /// The filter is being typed.
    pub typing: bool,
    /// Nothing moves.
    pub paused: bool,
    /// The row that is looked at.
    pub at: usize,
}

impl Model {
    /// Nothing known yet.
    pub fn new(tab: Tab, sort: Sort, filter: String) -> Self {
        Model {
            frame: Frame::default(),
            waiting: None,
            tab,
            sort,
            reversed: false,
            filter,
            typing: false,
            paused: false,
            at: 0,
        }
    }

    /// Something new.
    pub fn take(&mut self, frame: Frame) {
        if self.paused {
            self.waiting = Some(frame);
        } else {
            self.frame = frame;
        }
        self.keep_in_sight();
    }

    /// Connections that are to be shown, in their order.
    pub fn flows(&self) -> Vec<&Flow> {
        let texts = |f: &Flow| {
            [
                &f.protocol,
                &f.from,
                &f.to,
                &f.state,
                &f.by,
                &f.rule,
                &f.verdict,
            ]
            .map(String::clone)
            .join(" ")
        };
        let mut rows: Vec<&Flow> = self.frame.flows.iter().collect();
        rows.retain(|flow| self.fits(&texts(flow)));
        let order = |a: &&Flow, b: &&Flow| match self.sort {
            Sort::Rate => (b.new_bytes, b.new_packets).cmp(&(a.new_bytes, a.new_packets)),
            Sort::Packets => b.packets.cmp(&a.packets),
            Sort::Bytes => b.bytes.cmp(&a.bytes),
            Sort::Age => b.age.cmp(&a.age),
            Sort::Rule => a.by.cmp(&b.by),
        };
        // What is alike stands in the order in which it was made.
        rows.sort_by(|a, b| self.way(order(a, b)).then(a.number.cmp(&b.number)));
        rows
    }

    /// Rules that are to be shown, in their order.
    pub fn rules(&self) -> Vec<&Rule> {
        let mut rows: Vec<&Rule> = self.frame.rules.iter().collect();
        rows.retain(|r| self.fits(&format!("{} {} {} {}", r.table, r.chain, r.number, r.text)));
        let place = |r: &Rule| (r.family as u8, r.table.clone(), r.chain.clone(), r.number);
        let order = |a: &&Rule, b: &&Rule| match self.sort {
            Sort::Rate => (b.new_bytes, b.new_packets).cmp(&(a.new_bytes, a.new_packets)),
            Sort::Packets => b.packets.cmp(&a.packets),
            Sort::Bytes => b.bytes.cmp(&a.bytes),
            Sort::Age | Sort::Rule => place(a).cmp(&place(b)),
        };
        rows.sort_by(|a, b| self.way(order(a, b)).then(place(a).cmp(&place(b))));
        rows
    }

    fn way(&self, order: Ordering) -> Ordering {
        if self.reversed {
            order.reverse()
        } else {
            order
        }
    }

    fn fits(&self, text: &str) -> bool {
        self.filter.is_empty() || text.to_lowercase().contains(&self.filter.to_lowercase())
    }

    /// Rows that are shown.
    pub fn count(&self) -> usize {
        match self.tab {
            Tab::Flows => self.flows().len(),
            Tab::Rules => self.rules().len(),
        }
    }

    /// So many a second, by what came between the last two frames; nothing is known of the first.
    pub fn per_second(&self, moved: u64) -> Option<f64> {
        (self.frame.since_ms > 0).then(|| moved as f64 * 1_000.0 / self.frame.since_ms as f64)
    }

    fn keep_in_sight(&mut self) {
        self.at = self.at.min(self.count().saturating_sub(1));
    }

    /// A key was pressed.
    pub fn key(&mut self, key: KeyEvent) -> Next {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            return Next::End;
        }
        if self.typing {
            match key.code {
                KeyCode::Enter => self.typing = false,
                KeyCode::Esc => {
                    self.filter.clear();
                    self.typing = false;
                }
                KeyCode::Backspace => {
                    self.filter.pop();
                }
                KeyCode::Char(c) if !control && self.filter.len() < 64 => self.filter.push(c),
                _ => {}
            }
            self.at = 0;
            return Next::On;
        }
        match key.code {
            KeyCode::Char('q') => return Next::End,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('p' | ' ') => {
                self.paused = !self.paused;
                if let Some(frame) = self.waiting.take().filter(|_| !self.paused) {
                    self.frame = frame;
                }
            }
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('r') => self.reversed = !self.reversed,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Tab | KeyCode::BackTab => {
                self.tab = match self.tab {
                    Tab::Flows => Tab::Rules,
                    Tab::Rules => Tab::Flows,
                };
                self.at = 0;
            }
            KeyCode::Down | KeyCode::Char('j') => self.at += 1,
            KeyCode::Up | KeyCode::Char('k') => self.at = self.at.saturating_sub(1),
            KeyCode::PageDown => self.at += 20,
            KeyCode::PageUp => self.at = self.at.saturating_sub(20),
            KeyCode::Home | KeyCode::Char('g') => self.at = 0,
            KeyCode::End | KeyCode::Char('G') => self.at = usize::MAX,
            _ => {}
        }
        self.keep_in_sight();
        Next::On
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use palisade_live::control::message::{Ip, VerdictCount};

    /// Three connections and two rules, a second and a half after the first look.
    pub(crate) fn frame() -> Frame {
        let flow = |number, protocol: &str, state: &str, age, total: u64, new: u64| Flow {
            number,
            protocol: protocol.into(),
            from: format!("203.0.113.{number}:4000{number}"),
            to: "192.0.2.1:443".into(),
            state: state.into(),
            age,
            timeout: 120,
            packets: total / 1000,
            bytes: total,
            new_packets: new / 1000,
            new_bytes: new,
            by: "filter INPUT rule 1".into(),
            rule: "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT".into(),
            verdict: "ACCEPT".into(),
            ..Flow::default()
        };
        let rule = |number, text: &str, total: u64, new: u64| Rule {
            family: Ip::V4,
            table: "filter".into(),
            chain: "INPUT".into(),
            number,
            text: text.into(),
            packets: total / 1000,
            bytes: total,
            new_packets: new / 1000,
            new_bytes: new,
        };
        let count = |verdict: &str, packets| VerdictCount {
            verdict: verdict.into(),
            packets,
            bytes: packets * 100,
        };
        Frame {
            since_ms: 1_500,
            packets: vec![count("ACCEPT", 1_234), count("DROP", 56), count("QUEUE", 0)],
            entries: 3,
            max: 262_144,
            counted: true,
            flows: vec![
                flow(1, "tcp", "ESTABLISHED", 4_000, 9_000_000, 3_000),
                flow(2, "udp", "UNREPLIED", 2, 50_000, 30_000),
                flow(3, "tcp", "SYN_SENT", 70, 1_000, 0),
            ],
            rules: vec![
                rule(
                    1,
                    "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
                    9_000_000,
                    33_000,
                ),
                rule(0, "", 51_000, 60_000),
            ],
        }
    }

    fn press(model: &mut Model, keys: &str) -> Next {
        let mut next = Next::On;
        for key in keys.chars() {
            let code = match key {
                '\n' => KeyCode::Enter,
                '\t' => KeyCode::Tab,
                '<' => KeyCode::Backspace,
                '!' => KeyCode::Esc,
                'v' => KeyCode::Down,
                '^' => KeyCode::Up,
                c => KeyCode::Char(c),
            };
            next = model.key(KeyEvent::new(code, KeyModifiers::NONE));
        }
        next
    }

    fn numbers(model: &Model) -> Vec<u64> {
        model.flows().iter().map(|f| f.number).collect()
    }

    fn model() -> Model {
        let mut model = Model::new(Tab::Flows, Sort::Rate, String::new());
        model.take(frame());
        model
    }

    #[test]
    fn rows_stand_in_the_order_that_is_asked_for() {
        let mut model = model();
        for (sort, order) in [
            (Sort::Rate, [2, 1, 3]),
            (Sort::Packets, [1, 2, 3]),
            (Sort::Bytes, [1, 2, 3]),
            (Sort::Age, [1, 3, 2]),
            (Sort::Rule, [1, 2, 3]),
        ] {
            assert_eq!(model.sort, sort);
            assert_eq!(numbers(&model), order, "{sort:?}");
            press(&mut model, "s");
        }
        assert_eq!(model.sort, Sort::Rate);
        press(&mut model, "r");
        assert_eq!(numbers(&model), [3, 1, 2]);
    }

    #[test]
    fn rules_are_sorted_too() {
        let mut model = model();
        press(&mut model, "\t");
        let rules =
            |model: &Model| -> Vec<u32> { model.rules().iter().map(|r| r.number).collect() };
        assert_eq!(rules(&model), [0, 1]);
        press(&mut model, "s");
        assert_eq!(rules(&model), [1, 0]);
    }

    #[test]
    fn the_filter_is_typed_and_holds_in_every_column() {
        let mut model = model();
        press(&mut model, "/SYNx<");
        assert!(model.typing);
        assert_eq!(numbers(&model), [3]);
        press(&mut model, "\n");
        assert!(!model.typing);
        // Keys are commands again.
        press(&mut model, "s");
        assert_eq!((model.sort, model.filter.as_str()), (Sort::Packets, "SYN"));
        press(&mut model, "!");
        assert_eq!(model.count(), 3);
        press(&mut model, "/113.2!");
        assert_eq!(model.count(), 3);
        press(&mut model, "/no such row\n");
        assert_eq!(model.count(), 0);
        press(&mut model, "vvv");
        assert_eq!(model.at, 0);
    }

    #[test]
    fn a_pause_shows_what_there_was_and_its_end_what_came_last() {
        let mut model = model();
        press(&mut model, "p");
        for entries in [7, 8] {
            model.take(Frame { entries, ..frame() });
        }
        assert_eq!(model.frame.entries, 3);
        press(&mut model, "p");
        assert_eq!(model.frame.entries, 8);
    }

    #[test]
    fn rates_are_by_the_time_that_passed() {
        let mut model = model();
        assert_eq!(model.per_second(3_000), Some(2_000.0));
        model.take(Frame {
            since_ms: 0,
            ..frame()
        });
        assert_eq!(model.per_second(3_000), None);
    }

    #[test]
    fn the_row_that_is_looked_at_stays_among_the_rows() {
        let mut model = model();
        press(&mut model, "vvvvvv");
        assert_eq!(model.at, 2);
        model.take(Frame {
            flows: frame().flows[..1].to_vec(),
            ..frame()
        });
        assert_eq!(model.at, 0);
        press(&mut model, "G^");
        assert_eq!(model.at, 0);
    }

    #[test]
    fn q_and_control_c_end_it() {
        let mut model = model();
        assert_eq!(press(&mut model, "q"), Next::End);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(model.key(interrupt), Next::End);
        press(&mut model, "/q");
        assert_eq!(model.filter, "q");
        assert_eq!(model.key(interrupt), Next::End);
    }
}

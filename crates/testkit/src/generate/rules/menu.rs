//! Tables from which options of an extension are drawn: small menus of values that fit the packets that the
//! stories tell, so that some packets hit and others miss.

use palisade_rules::catalogue::{find_match, find_target};
use palisade_wire::Family;

use super::Place;
use crate::generate::chance::Chance;

/// An extension and what may be said of it.
pub(super) struct Menu {
    /// Its name.
    pub(super) name: &'static str,
    /// `-p` in front of it, of which one is drawn; empty for none.
    pub(super) protocols: &'static [&'static str],
    /// Where it may stand.
    pub(super) fits: fn(Place) -> bool,
    /// Its options.
    pub(super) choices: &'static [Choice],
    /// Whether one option is drawn, rather than each one with some chance.
    pub(super) one: bool,
    /// What always stands behind the options.
    pub(super) tail: &'static str,
}

/// An option with its values.
pub(super) struct Choice {
    /// With its dashes.
    option: &'static str,
    /// Whether `!` may stand before it.
    not: bool,
    /// Values for IPv4; without any it is a flag.
    four: &'static [&'static str],
    /// Values for IPv6, where they are others.
    six: &'static [&'static str],
}

/// One of several options is drawn.
pub(super) const fn menu(name: &'static str, choices: &'static [Choice]) -> Menu {
    Menu {
        name,
        protocols: &[],
        fits: |_| true,
        choices,
        one: true,
        tail: "",
    }
}

impl Menu {
    /// With a protocol in front of it.
    pub(super) const fn of(mut self, protocols: &'static [&'static str]) -> Self {
        self.protocols = protocols;
        self
    }

    /// In some places only.
    pub(super) const fn at(mut self, fits: fn(Place) -> bool) -> Self {
        self.fits = fits;
        self
    }

    /// Several options may stand together.
    pub(super) const fn several(mut self) -> Self {
        self.one = false;
        self
    }

    /// With something behind the options.
    pub(super) const fn then(mut self, tail: &'static str) -> Self {
        self.tail = tail;
        self
    }

    /// Whether it may be drawn: it stands there, and is evaluated.
    pub(super) fn known(&self, place: Place) -> bool {
        let family = if place.six { Family::V6 } else { Family::V4 };
        let row = find_match(self.name, family).or_else(|| find_target(self.name, family));
        let stands = |row: &palisade_rules::Extension| {
            row.evaluated()
                && (row.tables.is_empty() || row.tables.iter().any(|t| t.name() == place.table))
        };
        (self.fits)(place) && row.is_some_and(stands)
    }

    /// Its options, each with a blank in front.
    fn options(&self, chance: &mut Chance, place: Place) -> String {
        let mut text = String::new();
        let always = chance.below(self.choices.len());
        for (at, choice) in self.choices.iter().enumerate() {
            if at == always || (!self.one && chance.one_in(3)) {
                text += &choice.draw(chance, place);
            }
        }
        text + self.tail
    }

    /// As a match, with a blank behind it.
    pub(super) fn as_match(&self, chance: &mut Chance, place: Place) -> String {
        let protocol = match self.protocols {
            [] => String::new(),
            all => format!("-p {} ", chance.pick(all)),
        };
        let options = self.options(chance, place);
        format!("{protocol}-m {}{options} ", self.name)
    }

    /// As a target.
    pub(super) fn as_target(&self, chance: &mut Chance, place: Place) -> String {
        let options = self.options(chance, place);
        format!("-j {}{options}", self.name)
    }
}

/// An option with values that are the same for both families.
pub(super) const fn opt(option: &'static str, values: &'static [&'static str]) -> Choice {
    Choice {
        option,
        not: false,
        four: values,
        six: &[],
    }
}

/// An option whose values are addresses.
pub(super) const fn per_family(
    option: &'static str,
    four: &'static [&'static str],
    six: &'static [&'static str],
) -> Choice {
    Choice {
        option,
        not: false,
        four,
        six,
    }
}

/// An option without a value.
pub(super) const fn flag(option: &'static str) -> Choice {
    opt(option, &[])
}

impl Choice {
    /// `!` may stand before it.
    pub(super) const fn not(mut self) -> Self {
        self.not = true;
        self
    }

    fn draw(&self, chance: &mut Chance, place: Place) -> String {
        let not = if self.not { super::not(chance) } else { "" };
        let values = match (place.six, self.six) {
            (true, [_, ..]) => self.six,
            _ => self.four,
        };
        match values {
            [] => format!(" {not}{}", self.option),
            values => format!(" {not}{} {}", self.option, chance.pick(values)),
        }
    }
}

/// A match of one of the menus, with a blank behind it; nothing, if none of them fits. A rule has one
/// protocol: those that bring one stand first, and not beside each other.
pub(super) fn drawn(
    chance: &mut Chance,
    place: Place,
    menus: &[&'static [Menu]],
    with_protocol: bool,
) -> String {
    let fitting: Vec<&Menu> = menus
        .iter()
        .flat_map(|m| m.iter())
        .filter(|m| m.protocols.is_empty() != with_protocol && m.known(place))
        .collect();
    match fitting.get(chance.below(fitting.len())) {
        Some(menu) => menu.as_match(chance, place),
        None => String::new(),
    }
}

//! `-m policy`.

use super::prelude::*;
use crate::names;

/// `-m policy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `--dir`.
    pub direction: Direction,
    /// `--pol none`: no policy applies.
    pub none: bool,
    /// `--strict`: all of the policy, element by element.
    pub strict: bool,
    /// The elements, with `--next` between them: one that any element of the policy must fit, or with
    /// `--strict` one for each. With `--pol none` there are none.
    pub elements: Vec<Element>,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// What the packet was unpacked by.
    In,
    /// What it is to be packed by.
    Out,
}

/// What one element of a policy is to be.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Element {
    /// `--reqid`.
    pub reqid: Option<Not<u32>>,
    /// `--spi`.
    pub spi: Option<Not<u32>>,
    /// `--proto`: AH, ESP or IPcomp.
    pub protocol: Option<Not<u8>>,
    /// `--mode`.
    pub mode: Option<Not<Mode>>,
    /// `--tunnel-src`.
    pub source: Option<Not<Net>>,
    /// `--tunnel-dst`.
    pub destination: Option<Not<Net>>,
}

/// How packets are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The packet keeps its addresses.
    Transport,
    /// The packet is packed whole into another.
    Tunnel,
}

/// Most elements of one rule (kernel `XT_POLICY_MAX_ELEM`).
const MAX: usize = 4;

fn one_of<T: Copy>(text: &str, known: [(&str, T); 2], what: &str, real: &str) -> Value<T> {
    match known.iter().find(|(name, _)| *name == text) {
        Some((_, value)) => Ok(*value),
        None => {
            let near = crate::diagnostic::nearest(text, known.iter().map(|k| k.0));
            let both = format!("{} or {}", known[0].0, known[1].0);
            Err(Bad::new(format!("'{text}' is no {what}"))
                .said(format!("{real} \"{text}\""))
                .help(near.map_or(both, ToString::to_string)))
        }
    }
}

fn protocol(text: &str) -> Value<u8> {
    match value::protocol(text)? {
        found @ (proto::AH | proto::ESP | proto::IPCOMP) => Ok(found),
        _ => Err(Bad::new(format!("IPsec does not pack with '{text}'"))
            .help("ah, esp or ipcomp")
            .said("policy match: protocol must be ah/esp/ipcomp")),
    }
}

fn mode(text: &str) -> Value<Mode> {
    one_of(
        text,
        [("transport", Mode::Transport), ("tunnel", Mode::Tunnel)],
        "mode",
        "policy match: invalid mode",
    )
}

impl Element {
    fn is_empty(&self) -> bool {
        *self == Element::default()
    }

    /// Takes an option in; `None` when it stands there already.
    fn take(&mut self, given: &read::Given, family: Family) -> Result<Option<()>, Fault> {
        fn put<T>(place: &mut Option<Not<T>>, negated: bool, value: T) -> Option<()> {
            let free = place.is_none();
            *place = Some(Not { negated, value });
            free.then_some(())
        }
        let negated = given.negated;
        let net = |t: &str| value::host_mask(t, family);
        Ok(match given.option.name {
            "reqid" => put(&mut self.reqid, negated, given.parse(0, read::word)?),
            "spi" => put(&mut self.spi, negated, given.parse(0, read::word)?),
            "proto" => put(&mut self.protocol, negated, given.parse(0, protocol)?),
            "mode" => put(&mut self.mode, negated, given.parse(0, mode)?),
            "tunnel-src" => put(&mut self.source, negated, given.parse(0, net)?),
            "tunnel-dst" => put(&mut self.destination, negated, given.parse(0, net)?),
            _ => Some(()),
        })
    }

    /// Tunnel ends say something of tunnels only.
    fn ends_without_tunnel(&self) -> bool {
        let tunnel = self
            .mode
            .as_ref()
            .is_some_and(|not| not.apply(not.value == Mode::Tunnel));
        (self.source.is_some() || self.destination.is_some()) && !tunnel
    }

    fn write(&self, out: &mut Out, dashes: &str, numeric: bool) {
        let put = |out: &mut Out, negated: bool, name: &str, value: String| {
            out.bang(negated);
            out.word(format_args!("{dashes}{name} {value}"));
        };
        if let Some(not) = &self.reqid {
            put(out, not.negated, "reqid", not.value.to_string());
        }
        if let Some(not) = &self.spi {
            put(out, not.negated, "spi", format!("0x{:x}", not.value));
        }
        if let Some(not) = &self.protocol {
            let name = if numeric {
                not.value.to_string()
            } else {
                names::protocol_name(not.value)
            };
            put(out, not.negated, "proto", name);
        }
        if let Some(not) = &self.mode {
            let name = match not.value {
                Mode::Transport => "transport",
                Mode::Tunnel => "tunnel",
            };
            put(out, not.negated, "mode", name.to_string());
        }
        for (name, end) in [
            ("tunnel-dst", &self.destination),
            ("tunnel-src", &self.source),
        ] {
            if let Some(not) = end {
                put(out, not.negated, name, write::bare_net(&not.value));
            }
        }
    }
}

impl Policy {
    fn flags(&self, out: &mut Out, dashes: &str) {
        let direction = match self.direction {
            Direction::In => "in",
            Direction::Out => "out",
        };
        let policy = if self.none { "none" } else { "ipsec" };
        out.word(format_args!("{dashes}dir {direction} {dashes}pol {policy}"));
        if self.strict {
            out.word(format_args!("{dashes}strict"));
        }
    }

    /// What the programs check when they have seen all options.
    fn check(&self, loaded: &Loaded) -> Result<(), Fault> {
        for (at, element) in self.elements.iter().enumerate() {
            if self.strict && element.is_empty() {
                let text = format!("element {} of the strict policy says nothing", at + 1);
                let said = format!(
                    "policy match: empty policy element {at}. --strict is in effect, but at least one of reqid, spi, \
                     tunnel-src, tunnel-dst, proto or mode is required."
                );
                return Err(loaded.fault(Bad::new(text).said(said).help(
                    "--reqid, --spi, --proto, --mode, --tunnel-src or --tunnel-dst, or leave out --strict",
                )));
            }
            if element.ends_without_tunnel() {
                let bad = Bad::new("--tunnel-src and --tunnel-dst go with tunnels only")
                    .said("policy match: --tunnel-src/--tunnel-dst is only valid in tunnel mode");
                return Err(loaded.fault(bad.help("--mode tunnel")));
            }
        }
        Ok(())
    }
}

impl Spec for Policy {
    const ROW: Extension = Extension::new(
        "policy",
        Families::Both,
        "The IPsec policy that a packet came by or goes by.",
    )
    .options(&[
        opt("dir", "in|out", "the policy of unpacking, or of packing"),
        opt(
            "pol",
            "none|ipsec",
            "whether a policy applies; ipsec without it",
        ),
        flag("strict", "all of the policy fits, not any part of it"),
        opt("reqid", "NUMBER", "the request number").not().many(),
        opt("spi", "SPI", "the security parameters index")
            .not()
            .many(),
        opt("proto", "ah|esp|ipcomp", "the protocol it is packed with")
            .not()
            .many(),
        opt("mode", "transport|tunnel", "how it is packed")
            .not()
            .many(),
        opt("tunnel-src", "ADDRESS[/MASK]", "the tunnel's source")
            .not()
            .many(),
        opt("tunnel-dst", "ADDRESS[/MASK]", "the tunnel's destination")
            .not()
            .many(),
        flag("next", "begins the next element of the policy")
            .many()
            .requires(&["strict"]),
    ])
    .needs(&[Need::Host]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let way = [("in", Direction::In), ("out", Direction::Out)];
        let direction = loaded.plain("dir", |t| {
            one_of(t, way, "direction", "policy_match: invalid dir")
        })?;
        let Some(direction) = direction else {
            let (word, bad) = loaded.missing("dir");
            let said = "policy match: neither --dir in nor --dir out specified";
            return Err((word, bad.said(said)));
        };
        let kinds = [("none", true), ("ipsec", false)];
        let none = loaded.plain("pol", |t| {
            one_of(t, kinds, "policy", "policy match: invalid policy")
        })?;
        let none = none.unwrap_or(false);
        let strict = loaded.has("strict");
        if let (true, Some(given)) = (none, loaded.find("strict")) {
            let bad =
                Bad::new("--strict goes with a policy, and --pol none says that there is none")
                    .said("policy match: policy none but --strict given");
            return Err(given.fault(bad.help("leave out --strict")));
        }
        let mut elements = vec![Element::default()];
        for given in &loaded.given {
            if given.option.name == "next" {
                if elements.len() == MAX {
                    let text = format!("more than {MAX} elements; a rule can test {MAX}");
                    let said = "policy match: maximum policy depth reached";
                    return Err(given.fault(Bad::new(text).said(said)));
                }
                elements.push(Element::default());
            } else if let Some(element) = elements.last_mut()
                && element.take(given, loaded.family)?.is_none()
            {
                let name = given.option.name;
                let bad = Bad::new(format!("--{name} stands twice in one element"))
                    .said(format!("policy match: double --{name} option"));
                return Err(given.fault(bad.help("with --strict, --next begins another element")));
            }
        }
        if none {
            elements.clear();
        }
        let policy = Policy {
            direction,
            none,
            strict,
            elements,
        };
        policy.check(loaded)?;
        Ok(policy)
    }

    fn write(&self, out: &mut Out) {
        self.flags(out, "--");
        for (at, element) in self.elements.iter().enumerate() {
            if at > 0 {
                out.flag("next");
            }
            element.write(out, "--", false);
        }
    }

    fn list(&self, out: &mut Out) {
        out.word("policy match");
        self.flags(out, "");
        let numeric = out.numeric;
        for (at, element) in self.elements.iter().enumerate() {
            if self.elements.len() > 1 {
                out.word(format_args!("[{at}]"));
            }
            element.write(out, "", numeric);
        }
    }

    fn hooks(&self) -> &'static [Hook] {
        match self.direction {
            Direction::In => &[Hook::Prerouting, Hook::Input, Hook::Forward],
            Direction::Out => &[Hook::Forward, Hook::Output, Hook::Postrouting],
        }
    }
}

//! `-m pkttype`.

use super::prelude::*;

/// To whom the link layer sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// To this host.
    Unicast,
    /// Broadcast.
    Broadcast,
    /// Multicast.
    Multicast,
    /// To another host: no such packet gets as far as the rules.
    Otherhost,
}

/// Words that `--pkt-type` takes; the first of a kind is printed.
const KINDS: [(&str, Kind); 7] = [
    ("unicast", Kind::Unicast),
    ("broadcast", Kind::Broadcast),
    ("multicast", Kind::Multicast),
    ("otherhost", Kind::Otherhost),
    ("host", Kind::Unicast),
    ("bcast", Kind::Broadcast),
    ("mcast", Kind::Multicast),
];

/// `-m pkttype`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkttype(pub Not<Kind>);

impl Spec for Pkttype {
    const ROW: Extension = Extension::new(
        "pkttype",
        Families::Both,
        "Whether the link layer sent it to one, to many or to all.",
    )
    .options(&[opt("pkt-type", "KIND", "unicast, broadcast or multicast")
        .not()
        .required()])
    .needs(&[Need::Link]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let kind = |t: &str| {
            let known = KINDS.iter().find(|(n, _)| n.eq_ignore_ascii_case(t));
            known.map(|(_, k)| *k).ok_or_else(|| {
                Bad::new(format!("'{t}' is no packet type")).help("unicast, broadcast or multicast")
            })
        };
        loaded.need_not("pkt-type", kind).map(Pkttype)
    }

    fn write(&self, out: &mut Out) {
        out.not("pkt-type", &self.0, |kind| {
            let known = KINDS.iter().find(|(_, k)| k == kind);
            known.map_or("", |(n, _)| n).to_string()
        });
    }

    fn list(&self, out: &mut Out) {
        let known = KINDS.iter().find(|(_, k)| *k == self.0.value);
        let sign = if self.0.negated { "!=" } else { "=" };
        out.word(format_args!(
            "PKTTYPE {sign} {}",
            known.map_or("", |(n, _)| n)
        ));
    }
}

//! `-m ipvs`.

use super::prelude::*;

/// How a virtual server forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// GATE: as it is, to the server's MAC address.
    Gate,
    /// IPIP: through a tunnel.
    Tunnel,
    /// MASQ: translated.
    Masquerade,
}

const METHODS: [(&str, Method); 3] = [
    ("GATE", Method::Gate),
    ("IPIP", Method::Tunnel),
    ("MASQ", Method::Masquerade),
];

/// `-m ipvs`: properties of a virtual server's connection.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ipvs {
    /// Negation of `--ipvs`, where it stands alone.
    pub not_ipvs: bool,
    /// `--vproto`.
    pub protocol: Option<Not<u8>>,
    /// `--vaddr`.
    pub address: Option<Not<Net>>,
    /// `--vport`.
    pub port: Option<Not<u16>>,
    /// `--vdir`: whether REPLY.
    pub reply: Option<bool>,
    /// `--vmethod`.
    pub method: Option<Not<Method>>,
    /// `--vportctl`.
    pub control_port: Option<Not<u16>>,
}

impl Ipvs {
    /// Whether it asks for no more than that there is such a connection, or none.
    pub fn only_whether(&self) -> bool {
        let Ipvs {
            not_ipvs: _,
            protocol,
            address,
            port,
            reply,
            method,
            control_port,
        } = self;
        protocol.is_none()
            && address.is_none()
            && port.is_none()
            && reply.is_none()
            && method.is_none()
            && control_port.is_none()
    }
}

fn one_of<T: Copy>(text: &str, known: &[(&str, T)]) -> Value<T> {
    let found = known.iter().find(|(n, _)| n.eq_ignore_ascii_case(text));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        Bad::new(format!("'{text}' is none of {}", names.join(", ")))
    })
}

impl Spec for Ipvs {
    const ROW: Extension = Extension::new(
        "ipvs",
        Families::Both,
        "Properties of a virtual server's connection.",
    )
    .options(&[
        flag("ipvs", "belongs to a virtual server's connection").not(),
        opt("vproto", "PROTOCOL", "protocol of the virtual server").not(),
        opt("vaddr", "ADDRESS[/MASK]", "its address").not(),
        opt("vport", "PORT", "its port").not(),
        opt("vdir", "ORIGINAL|REPLY", "direction of the packet"),
        opt("vmethod", "GATE|IPIP|MASQ", "how it forwards").not(),
        opt("vportctl", "PORT", "port of the controlling connection").not(),
    ])
    .needs(&[Need::Host]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let ipvs = Ipvs {
            not_ipvs: l.flag("ipvs").is_some_and(|not| not.negated),
            protocol: l.not("vproto", value::protocol)?,
            address: l.not("vaddr", |t| value::host_mask(t, l.family))?,
            port: l.not("vport", value::port)?,
            reply: l.plain("vdir", |t| {
                one_of(t, &[("ORIGINAL", false), ("REPLY", true)])
            })?,
            method: l.not("vmethod", |t| one_of(t, &METHODS))?,
            control_port: l.not("vportctl", value::port)?,
        };
        if l.given.is_empty() {
            let bad = Bad::new("'ipvs' needs one of its options")
                .help("--ipvs")
                .said("IPVS: At least one option is required")
                .missing();
            return Err(l.fault(bad));
        }
        if ipvs.not_ipvs && !ipvs.only_whether() {
            let bad = Bad::new("'! --ipvs' cannot stand beside other options of 'ipvs'")
                .said("IPVS: ! --ipvs cannot be together with other options");
            return Err(l.fault(bad));
        }
        Ok(ipvs)
    }

    fn list(&self, out: &mut Out) {
        let mut saved = Out::new(out.tools, out.family);
        self.write(&mut saved);
        out.text.push_str(&saved.text.replace(" --", " "));
    }

    fn write(&self, out: &mut Out) {
        if self.only_whether() {
            out.bang(self.not_ipvs);
            out.flag("ipvs");
        }
        out.maybe("vproto", &self.protocol, u8::to_string);
        out.maybe("vaddr", &self.address, write::bare_net);
        out.maybe("vport", &self.port, u16::to_string);
        if let Some(reply) = self.reply {
            out.opt("vdir", if reply { "REPLY" } else { "ORIGINAL" });
        }
        out.maybe("vmethod", &self.method, |method| {
            let name = METHODS.iter().find(|(_, m)| m == method);
            name.map_or("", |(name, _)| *name).to_string()
        });
        out.maybe("vportctl", &self.control_port, u16::to_string);
    }
}

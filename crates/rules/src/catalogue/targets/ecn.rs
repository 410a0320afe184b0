//! `-j ECN`.

use super::prelude::*;

/// `-j ECN`: sets the congestion bits of TCP and of the IP header. `None`: as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ecn {
    /// `--ecn-tcp-ece`: the flag ECE.
    pub ece: Option<bool>,
    /// `--ecn-tcp-cwr`: the flag CWR.
    pub cwr: Option<bool>,
    /// `--ecn-ip-ect`: the lower two bits of the type of service.
    pub ip: Option<u8>,
}

impl Ecn {
    /// `--ecn-tcp-remove`.
    const REMOVE: Ecn = Ecn {
        ece: Some(false),
        cwr: Some(false),
        ip: None,
    };
}

impl Spec for Ecn {
    const ROW: Extension = Extension::new(
        "ECN",
        Families::V4,
        "Sets congestion bits of TCP and of IP, or takes them out.",
    )
    .tables(&[TableKind::Mangle])
    .options(&[
        flag("ecn-tcp-remove", "take the flags ECE and CWR out")
            .excludes(&["ecn-tcp-cwr", "ecn-tcp-ece"]),
        opt("ecn-tcp-cwr", "0|1", "set TCP's flag CWR so").excludes(&["ecn-tcp-remove"]),
        opt("ecn-tcp-ece", "0|1", "set TCP's flag ECE so").excludes(&["ecn-tcp-remove"]),
        opt(
            "ecn-ip-ect",
            "0..3",
            "set the code point in the IP header so",
        ),
    ])
    .needs(&[Need::Network, Need::Transport]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let mut ecn = Ecn {
            ece: None,
            cwr: None,
            ip: None,
        };
        let bit = |t: &str| value::number(t, 1).map(|n| n == 1);
        for given in &loaded.given {
            match given.option.name {
                // It begins anew: a code point said before it is forgotten.
                "ecn-tcp-remove" => ecn = Ecn::REMOVE,
                "ecn-tcp-cwr" => ecn.cwr = Some(given.parse(0, bit)?),
                "ecn-tcp-ece" => ecn.ece = Some(given.parse(0, bit)?),
                _ => ecn.ip = Some(given.parse(0, |t| value::number(t, 3))? as u8),
            }
        }
        let tcp = ecn.ece.is_some() || ecn.cwr.is_some();
        if !tcp && ecn.ip.is_none() {
            let said = "ECN target: An operation is required";
            return Err(loaded.missing_as("ecn-tcp-remove", said));
        }
        if tcp && !loaded.is_protocol(&[proto::TCP]) {
            let bad = Bad::new("'-j ECN' changes TCP's flags only with '-p tcp'")
                .code("target-needs-protocol")
                .by_kernel();
            return Err(loaded.fault(bad.help("-p tcp before it")));
        }
        Ok(ecn)
    }

    fn write(&self, out: &mut Out) {
        if *self == Ecn::REMOVE {
            out.flag("ecn-tcp-remove");
            return;
        }
        for (name, bit) in [("ecn-tcp-ece", self.ece), ("ecn-tcp-cwr", self.cwr)] {
            if let Some(bit) = bit {
                out.opt(name, u8::from(bit));
            }
        }
        if let Some(ip) = self.ip {
            out.opt("ecn-ip-ect", ip);
        }
    }

    fn list(&self, out: &mut Out) {
        out.word("ECN");
        if *self == Ecn::REMOVE {
            out.word("TCP remove");
            return;
        }
        for (name, bit) in [("ECE", self.ece), ("CWR", self.cwr)] {
            if let Some(bit) = bit {
                out.word(format_args!("{name}={}", u8::from(bit)));
            }
        }
        if let Some(ip) = self.ip {
            out.word(format_args!("ECT codepoint={ip}"));
        }
    }
}

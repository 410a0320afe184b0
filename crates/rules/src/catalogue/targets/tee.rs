//! `-j TEE`.

use std::net::IpAddr;

use super::prelude::*;

/// `-j TEE`: sends a copy to another host, as the next hop of its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tee {
    /// The host that gets the copy.
    pub gateway: IpAddr,
    /// The interface that the copy leaves by.
    pub out_interface: Option<String>,
}

impl Spec for Tee {
    const ROW: Extension = Extension::new("TEE", Families::Both, "Sends a copy to another host.")
        .options(&[
            opt("gateway", "ADDRESS", "the host that gets it").required(),
            opt("oif", "NAME", "the interface that it leaves by"),
        ])
        .needs(&[Need::Host]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let gateway = |t: &str| match value::address(t, l.family)? {
            gateway if gateway.is_unspecified() => {
                Err(Bad::new(format!("no packet can be sent to {gateway}")))
            }
            gateway => Ok(gateway),
        };
        Ok(Tee {
            gateway: l.need("gateway", gateway)?,
            out_interface: l
                .plain("oif", read::cut(15))?
                .filter(|name| !name.is_empty()),
        })
    }

    fn write(&self, out: &mut Out) {
        out.opt("gateway", self.gateway);
        if let Some(name) = &self.out_interface {
            out.opt("oif", name);
        }
    }

    fn list(&self, out: &mut Out) {
        out.word(format_args!("TEE gw:{}", self.gateway));
        if let Some(name) = &self.out_interface {
            out.word(format_args!("oif={name}"));
        }
    }
}

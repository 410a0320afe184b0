//! A filter in a few lines: a wire between two interfaces, or a TUN interface, under the rules of a file.
//!
//! `filter wire A,B RULES [xdp|packet]` or `filter tun NAME[,NAME] RULES`.

use palisade_engine::rules::{Family, parse};
use palisade_engine::{Engine, Setup};
use palisade_live::tun::Tun;
use palisade_live::wire::{By, NonIp, Wire, WireOptions};
use palisade_live::{Backend, Gate, work, worker::Pulse};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, names, rules, more @ ..] = &arguments[..] else {
        return Err("filter wire A,B RULES [xdp|packet], or filter tun NAME[,NAME] RULES".into());
    };
    let rules = std::fs::read_to_string(rules)?;
    let setup = Setup {
        rules4: parse::auto(&rules, Family::V4).v4,
        ..Setup::default()
    };
    let gate = Gate::new(Engine::new(setup)?);
    let names: Vec<String> = names.split(',').map(str::to_owned).collect();
    let mut backend: Box<dyn Backend> = match kind.as_str() {
        "tun" => Box::new(Tun::open(&names, &gate)?),
        _ => Box::new(Wire::open(
            WireOptions {
                ends: names.try_into().map_err(|_| "two interfaces are needed")?,
                by: match more.first().map(String::as_str) {
                    Some("xdp") => By::Xdp,
                    Some("packet") => By::Packet,
                    _ => By::Best,
                },
                non_ip: NonIp::Arp,
                offloads_off: false,
            },
            &gate,
        )?),
    };
    let capabilities = backend.capabilities();
    eprintln!("{}: {}", capabilities.name, capabilities.notes.join("; "));
    work(&gate, backend.as_mut(), &Pulse::new())?;
    Ok(())
}

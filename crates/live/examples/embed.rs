//! The engine over packets of one's own: a program with a queue of packets implements [`Backend`], and rules decide about them.
//!
//! Run it by `cargo run -p palisade-live --example embed`.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use palisade_engine::rules::{Family, parse};
use palisade_engine::{Bridge, Engine, Port, Route, Setup};
use palisade_live::{Backend, Batch, Capabilities, Gate, work, worker::Pulse};
use palisade_wire::{build, tcp::flags};

/// Packets that wait, and those that passed: a tunnel's, a hypervisor's, a network stack's.
struct Mine<'g> {
    waiting: VecDeque<Vec<u8>>,
    passed: Vec<Vec<u8>>,
    answers: Vec<Vec<u8>>,
    port: Port,
    gate: &'g Gate,
}

impl Backend for Mine<'_> {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            rewrites: true,
            injects: true,
            ..Capabilities::new("mine")
        }
    }

    fn receive(&mut self, batch: &mut Batch, _wait: Duration) -> io::Result<()> {
        while !batch.is_full() {
            let Some(packet) = self.waiting.pop_front() else {
                break;
            };
            let Some(frame) = batch.add() else { break };
            frame.bytes.extend(packet);
            frame.port = self.port;
        }
        if batch.is_empty() {
            self.gate.stop();
        }
        Ok(())
    }

    fn conclude(&mut self, batch: &mut Batch) -> io::Result<()> {
        for frame in batch.frames() {
            self.passed.extend(frame.passing().map(<[u8]>::to_vec));
            self.answers.extend(frame.answers().map(<[u8]>::to_vec));
        }
        Ok(())
    }
}

/// Three packets: two pass, one is refused.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rules = "-A FORWARD -p tcp --dport 443 -j ACCEPT\n-A FORWARD -j REJECT";
    let setup = Setup {
        rules4: parse::auto(rules, Family::V4).v4,
        ..Setup::default()
    };
    let gate = Gate::new(Engine::new(setup)?);
    let ip = build::Ip::new("192.0.2.1".parse()?, "198.51.100.2".parse()?);
    let syn = |port| {
        let header = build::Tcp {
            destination_port: port,
            flags: flags::SYN,
            ..Default::default()
        };
        build::tcp(&ip, &header, b"")
    };
    let mut mine = Mine {
        waiting: [443, 23, 443].map(syn).into(),
        passed: Vec::new(),
        answers: Vec::new(),
        port: gate.port(
            Route::Wire("inside".into(), "outside".into()),
            Bridge::default(),
        ),
        gate: &gate,
    };
    work(&gate, &mut mine, &Pulse::new())?;
    println!(
        "{} passed, {} answered",
        mine.passed.len(),
        mine.answers.len()
    );
    Ok(())
}

//! What a firewall lets through in a second, and how long a packet needs: kernel iptables beside `palisade run` by every
//! backend, with the same rules between the same namespaces.
//!
//! `taskset -c 0 cargo run --release -p palisade-testkit --bin live-bench -- target/release/palisade` has everything on one
//! core: what sends, the kernel, and the program.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use palisade_testkit::live::enforce::{By, Rules, enforce};
use palisade_testkit::live::net::{Net, Shape};
use palisade_testkit::live::traffic::{Flows, latency, throughput};

const RULES: Rules = Rules {
    name: "established first",
    v4: "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n\
         -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A FORWARD -m conntrack --ctstate INVALID -j DROP\n\
         -A FORWARD -p tcp -m tcp --dport 22 -j DROP\n\
         -A FORWARD -p udp -m multiport --dports 7,9 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    v6: "*filter\n:FORWARD DROP\nCOMMIT\n",
};

/// How long each figure is measured.
const TIME: Duration = Duration::from_secs(1);

/// Rounds, of which the median is told.
const ROUNDS: usize = 5;

fn main() -> Result<()> {
    let palisade = std::env::args_os().nth(1);
    let palisade = palisade.context("usage: live-bench PATH-OF-PALISADE")?;
    let palisade = Path::new(&palisade).canonicalize()?;
    let ours = |words: &str| By::Palisade(words.split(' ').map(str::to_owned).collect());
    let lanes = [
        (Shape::Routed, By::Kernel, "kernel, routed"),
        (Shape::Routed, ours("--router"), "palisade --router"),
        (Shape::Bridged, By::Kernel, "kernel, bridged"),
        (
            Shape::Bridged,
            ours("--wire lan0,wan0 --wire-by xdp"),
            "palisade --wire, AF_XDP",
        ),
        (
            Shape::Bridged,
            ours("--wire lan0,wan0 --wire-by packet"),
            "palisade --wire, TPACKET",
        ),
    ];
    println!(
        "| lane | known flows, Mpps | of the kernel's | new flows, Mpps | of the kernel's | latency, µs: median, 99 % |"
    );
    println!("|---|---|---|---|---|---|");
    let mut kernel = [1.0; 2];
    for (shape, by, name) in lanes {
        let figures = measure(shape, &by, &palisade);
        let Ok(([known, new], [middle, slow])) = figures else {
            println!("| {name} | {:#} |||||", figures.expect_err("no figures"));
            continue;
        };
        if by == By::Kernel {
            kernel = [known, new];
        }
        println!(
            "| {name} | {:.3} | {:.2} | {:.3} | {:.2} | {:.1}, {:.1} |",
            known / 1e6,
            known / kernel[0],
            new / 1e6,
            new / kernel[1],
            middle.as_secs_f64() * 1e6,
            slow.as_secs_f64() * 1e6,
        );
    }
    Ok(())
}

/// Medians of packets in a second, of known and of new flows; and the latency.
fn measure(shape: Shape, by: &By, palisade: &Path) -> Result<([f64; 2], [Duration; 2])> {
    let mut figures = [Vec::new(), Vec::new()];
    let mut latencies = Vec::new();
    for _ in 0..ROUNDS {
        // A table that is empty, each time.
        let net = Net::new(shape)?;
        let mut child = enforce(&net, by, &RULES, palisade)?;
        latencies.push(latency(&net, 1000)?);
        for (figures, flows) in figures.iter_mut().zip([Flows::Known(1024), Flows::New]) {
            figures.push(throughput(&net, flows, TIME)?);
        }
        if let Some(child) = &mut child {
            child.kill()?;
            child.wait()?;
        }
    }
    latencies.sort_unstable();
    let figures = figures.map(|mut all| {
        all.sort_by(f64::total_cmp);
        all[ROUNDS / 2]
    });
    Ok((figures, latencies[ROUNDS / 2]))
}

//! Packets as fast as a firewall takes them, and how long one needs to and fro.

use std::fs::File;
use std::io::{IoSlice, Read, Seek, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
use palisade_rules::Family;
use palisade_wire::build;

use super::net::{Machine, Net};
use crate::kernel::socket::raw;

/// Packets that are sent at a time.
const BATCH: usize = 64;

/// Packets on their way at most, so that a slow firewall is not given more than it takes.
const WINDOW: u64 = 512;

/// The port that is sent to.
const PORT: u16 = 9;

/// The first port that is sent from.
const FIRST: u16 = 1024;

/// Bytes of payload that make a frame of 64 bytes.
const PAYLOAD: [u8; 22] = [0; 22];

/// New flows, which have room in every table.
const NEW: u64 = 200_000;

/// How long nothing may come through.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whose packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flows {
    /// Of so many flows, both directions of which have been seen.
    Known(u16),
    /// Each of a flow of its own, 200,000 at most.
    New,
}

/// Sends packets that differ in where they come from.
struct Sender {
    socket: OwnedFd,
    target: [Option<SockaddrStorage>; BATCH],
    packets: Vec<Vec<u8>>,
    headers: MultiHeaders<SockaddrStorage>,
}

impl Sender {
    /// In the calling thread's namespace.
    fn new(from: IpAddr, to: IpAddr, port: u16) -> Result<Self> {
        let [socket, _] = raw((0, 0))?;
        let packet = build::udp(&build::Ip::new(from, to), FIRST, port, &PAYLOAD);
        Ok(Sender {
            socket,
            target: [Some(SockaddrStorage::from(SocketAddr::new(to, 0))); BATCH],
            packets: vec![packet; BATCH],
            headers: MultiHeaders::preallocate(BATCH, None),
        })
    }

    /// Sends a batch, after `change` has written what each packet is to have.
    fn send(&mut self, mut change: impl FnMut(&mut [u8])) -> Result<()> {
        for packet in &mut self.packets {
            change(packet);
            // Not every checksum is worth it: 0 is none.
            packet[26..28].fill(0);
        }
        let slices: Vec<[IoSlice<'_>; 1]> =
            self.packets.iter().map(|p| [IoSlice::new(p)]).collect();
        let sent = sendmmsg(
            self.socket.as_raw_fd(),
            &mut self.headers,
            &slices,
            self.target,
            [],
            MsgFlags::empty(),
        );
        match sent {
            Ok(_) | Err(nix::Error::ENOBUFS | nix::Error::EAGAIN) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

/// Packets that an interface has received.
struct Received(File);

impl Received {
    /// In the calling thread's namespace, wherever it is read.
    fn open() -> Result<Self> {
        Ok(Received(File::open("/proc/thread-self/net/dev")?))
    }

    fn packets(&mut self) -> Result<u64> {
        let mut text = String::new();
        self.0.rewind()?;
        self.0.read_to_string(&mut text)?;
        let line = text
            .lines()
            .find_map(|l| l.trim_start().strip_prefix("eth0:"));
        let count = line.and_then(|l| l.split_whitespace().nth(1));
        count
            .context("an interface's count")?
            .parse()
            .context("a count")
    }
}

/// UDP packets of 64 bytes through the firewall for a time: how many came through in a second.
///
/// # Errors
/// When nothing comes through.
pub fn throughput(net: &Net, flows: Flows, time: Duration) -> Result<f64> {
    let [from, to] = [Machine::Client, Machine::Server].map(|m| net.address(m, Family::V4));
    // Nobody reads what comes; that somebody could keeps the kernels from answering.
    let (sink, mut received) = net.within(Machine::Server, || {
        Ok::<_, anyhow::Error>((UdpSocket::bind((to, PORT))?, Received::open()?))
    })??;
    let result = net.within(Machine::Client, || {
        let mut sender = Sender::new(from, to, PORT)?;
        let mut flow = 0u32;
        // Ports, and for new flows addresses of the client's network.
        let mut next = |packet: &mut [u8]| {
            flow = match flows {
                Flows::Known(flows) => (flow + 1) % u32::from(flows),
                Flows::New => flow + 1,
            };
            let port = FIRST + (flow % 60_000) as u16;
            packet[20..22].copy_from_slice(&port.to_be_bytes());
            if flows == Flows::New {
                packet[15] = 3 + (flow / 60_000 % 250) as u8;
            }
        };
        if let Flows::Known(flows) = flows {
            open(net, flows)?;
        }
        let (start, first) = (Instant::now(), received.packets()?);
        let (mut sent, mut came, mut last) = (0, 0, start);
        while start.elapsed() < time && (flows != Flows::New || came < NEW) {
            if sent < came + WINDOW {
                sender.send(&mut next)?;
                sent += BATCH as u64;
                continue;
            }
            std::thread::yield_now();
            let now = received.packets()? - first;
            if now > came {
                (came, last) = (now, Instant::now());
            } else if last.elapsed() > Duration::from_millis(20) {
                // What is lost is not waited for.
                sent = came;
                if last.elapsed() > PATIENCE {
                    bail!("nothing comes through");
                }
            }
        }
        let came = received.packets()? - first;
        Ok(came as f64 / start.elapsed().as_secs_f64())
    })?;
    drop(sink);
    result
}

/// Opens flows from as many ports of the client to the server's port that nobody answers on, and answers each once.
///
/// # Errors
/// When an answer does not come through.
pub fn open(net: &Net, flows: u16) -> Result<()> {
    let [from, to] = [Machine::Client, Machine::Server].map(|m| net.address(m, Family::V4));
    let mut came = net.within(Machine::Server, Received::open)??;
    net.within(Machine::Client, || {
        let mut sender = Sender::new(from, to, PORT)?;
        let before = came.packets()?;
        let mut flow = 0;
        let mut sent = 0;
        while flow < flows {
            sender.send(|packet| {
                packet[20..22].copy_from_slice(&(FIRST + flow.min(flows - 1)).to_be_bytes());
                flow += 1;
            })?;
            sent += BATCH as u64;
            let end = Instant::now() + PATIENCE;
            while came.packets()? < before + sent && Instant::now() < end {
                std::thread::yield_now();
            }
        }
        Ok::<_, anyhow::Error>(())
    })??;
    answers(net, (to, from), flows)
}

/// A round trip that is made again and again by one TCP connection.
pub struct Talk {
    rounds: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Talk {
    /// Connects the client to a port of the server, where somebody answers from now on.
    ///
    /// # Errors
    /// When there is no connection.
    pub fn start(net: &Net, port: u16) -> Result<Self> {
        let to = net.address(Machine::Server, Family::V4);
        let listener = net.within(Machine::Server, || TcpListener::bind((to, port)))??;
        let mut near = net.within(Machine::Client, || {
            TcpStream::connect_timeout(&(to, port).into(), PATIENCE)
        })??;
        let (mut far, _) = listener.accept()?;
        let (rounds, ended) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while far
                .read_exact(&mut buffer)
                .and_then(|()| far.write_all(&buffer))
                .is_ok()
            {}
        });
        let talk = Talk {
            rounds: Arc::clone(&rounds),
            ended: Arc::clone(&ended),
        };
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while near
                .write_all(&buffer)
                .and_then(|()| near.read_exact(&mut buffer))
                .is_ok()
            {
                rounds.fetch_add(1, Ordering::Relaxed);
            }
            ended.store(true, Ordering::Relaxed);
        });
        Ok(talk)
    }

    /// Round trips so far.
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Waits for so many round trips more.
    ///
    /// # Errors
    /// When they are not made in time, or the connection ended.
    pub fn goes_on(&self, more: u64, patience: Duration) -> Result<()> {
        let (wanted, end) = (self.rounds() + more, Instant::now() + patience);
        while self.rounds() < wanted {
            if self.ended.load(Ordering::Relaxed) {
                bail!("the connection ended");
            }
            if Instant::now() > end {
                bail!("the connection stands still");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// One packet back of each flow.
fn answers(net: &Net, (from, to): (IpAddr, IpAddr), flows: u16) -> Result<()> {
    let mut received = net.within(Machine::Client, Received::open)??;
    net.within(Machine::Server, || {
        let before = received.packets()?;
        let mut sender = Sender::new(from, to, FIRST)?;
        let mut flow = 0;
        for _ in (0..flows).step_by(BATCH) {
            sender.send(|packet| {
                packet[20..22].copy_from_slice(&PORT.to_be_bytes());
                packet[22..24].copy_from_slice(&(FIRST + flow).to_be_bytes());
                flow = (flow + 1) % flows;
            })?;
        }
        let end = Instant::now() + PATIENCE;
        while received.packets()? < before + u64::from(flows) {
            if Instant::now() > end {
                bail!("answers do not come through");
            }
            std::thread::yield_now();
        }
        Ok(())
    })?
}

/// How long a packet and its answer need, one after the other: median, and what one of a hundred exceeds.
///
/// # Errors
/// When an answer does not come.
pub fn latency(net: &Net, rounds: usize) -> Result<[Duration; 2]> {
    let to = net.address(Machine::Server, Family::V4);
    let (echo, client) = (
        net.within(Machine::Server, || UdpSocket::bind((to, 7)))??,
        net.within(Machine::Client, || UdpSocket::bind("0.0.0.0:0"))??,
    );
    echo.set_read_timeout(Some(Duration::from_millis(100)))?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.connect((to, 7))?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 64];
            while !done.load(Ordering::Relaxed) {
                if let Ok((length, from)) = echo.recv_from(&mut buffer) {
                    let _ = echo.send_to(&buffer[..length], from);
                }
            }
        });
        let mut times = Vec::with_capacity(rounds);
        let mut measure = || -> Result<()> {
            let mut buffer = [0; 64];
            for _ in 0..rounds {
                let start = Instant::now();
                client.send(&PAYLOAD)?;
                client.recv(&mut buffer).context("no answer")?;
                times.push(start.elapsed());
            }
            Ok(())
        };
        let measured = measure();
        done.store(true, Ordering::Relaxed);
        measured?;
        times.sort_unstable();
        Ok([times[rounds / 2], times[rounds * 99 / 100]])
    })
}

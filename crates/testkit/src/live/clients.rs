//! What the client does, and what it sees: words that are the same whoever enforces the rules.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, SockaddrStorage, sendto};
use palisade_wire::build;
use palisade_wire::tcp::flags;

use super::net::{Machine, Net};
use super::servers::{ANSWER, SIZE};
use crate::kernel::socket::raw;

/// Something that a client does with a server at an address.
#[derive(Clone, Copy)]
pub struct Client {
    /// What it is called in the table.
    pub name: &'static str,
    /// Does it, and tells what was seen.
    pub run: fn(&Net, IpAddr) -> String,
}

/// Everything that clients do.
pub const ALL: &[Client] = &[
    Client {
        name: "curl",
        run: curl,
    },
    Client {
        name: "connect 80",
        run: |net, to| connect(net, to, 80),
    },
    Client {
        name: "connect 22",
        run: |net, to| connect(net, to, 22),
    },
    Client {
        name: "connect 81",
        run: |net, to| connect(net, to, 81),
    },
    Client {
        name: "connect 8080",
        run: |net, to| connect(net, to, 8080),
    },
    Client {
        name: "connect 80, six times",
        run: connect_often,
    },
    Client {
        name: "curl in a flood",
        run: curl_in_a_flood,
    },
    Client {
        name: "ssh",
        run: ssh,
    },
    Client {
        name: "scp",
        run: scp,
    },
    Client {
        name: "ftp active",
        run: |net, to| ftp(net, to, &["--ftp-port", "-"]),
    },
    Client {
        name: "ftp PORT",
        run: |net, to| ftp(net, to, &["--ftp-port", "-", "--disable-eprt"]),
    },
    Client {
        name: "ftp passive",
        run: |net, to| ftp(net, to, &[]),
    },
    Client {
        name: "ftp PASV",
        run: |net, to| ftp(net, to, &["--disable-epsv"]),
    },
    Client {
        name: "tftp",
        run: tftp,
    },
    Client {
        name: "ping",
        run: ping,
    },
    Client {
        name: "ping 1800",
        run: big_ping,
    },
    Client {
        name: "traceroute UDP",
        run: |net, to| traceroute(net, to, &["-U", "-p", "33434"]),
    },
    Client {
        name: "traceroute ICMP",
        run: |net, to| traceroute(net, to, &["-I"]),
    },
    Client {
        name: "traceroute TCP",
        run: |net, to| traceroute(net, to, &["-T", "-p", "80"]),
    },
    Client {
        name: "iperf3 TCP",
        run: |net, to| iperf(net, to, &["-n", "8M"]),
    },
    Client {
        name: "iperf3 reverse",
        run: |net, to| iperf(net, to, &["-n", "8M", "-R"]),
    },
    Client {
        name: "dig UDP",
        run: |net, to| dig(net, to, "+notcp"),
    },
    Client {
        name: "dig TCP",
        run: |net, to| dig(net, to, "+tcp"),
    },
];

/// How long a program is waited for before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(6);

/// How long a connection may take to be there or refused: longer than the second after which a SYN is sent again, since
/// an error that comes back while the first is still being sent is not heard.
const CONNECTING: Duration = Duration::from_millis(2500);

/// Runs a program of the client's; `None` of one that does not end.
fn output(net: &Net, program: &str, arguments: &[&str]) -> Option<Output> {
    let mut command = net.command(Machine::Client, program);
    ended(command.args(arguments))
}

/// The output of a program; `None` when it does not end, and it is ended.
fn ended(command: &mut Command) -> Option<Output> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let drain = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
            read.map(|_| bytes).unwrap_or_default()
        })
    };
    let stdout = drain(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let stderr = drain(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().ok()? {
            Some(status) => break status,
            None if Instant::now() > end => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    Some(Output {
        status,
        stdout: stdout.join().ok()?,
        stderr: stderr.join().ok()?,
    })
}

/// What a program says of a failure, in the words that many of them share.
fn failure(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
    let known = [
        "connection refused",
        "no route to host",
        "network is unreachable",
        "connection reset",
        "timed out",
        "timeout",
        "permission denied",
        "operation not permitted",
    ];
    let word = known.iter().find(|word| said.contains(**word));
    match word {
        Some(&"timeout") => "timed out".into(),
        Some(word) => (*word).to_string(),
        None => format!("exit {}", output.status.code().unwrap_or(-1)),
    }
}

/// An address as a part of a URL.
fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(a) => a.to_string(),
        IpAddr::V6(a) => format!("[{a}]"),
    }
}

fn fetched(output: Option<Output>, whole: usize) -> String {
    let Some(output) = output else {
        return "hangs".into();
    };
    if !output.status.success() {
        return format!("curl {}", output.status.code().unwrap_or(-1));
    }
    let got = output.stdout.len();
    if got == whole {
        "whole".into()
    } else {
        format!("{got} bytes")
    }
}

fn fetch(net: &Net, url: &str, more: &[&str]) -> String {
    let mut arguments = vec![
        "-s",
        "-g",
        "--connect-timeout",
        "2.5",
        "--max-time",
        "4",
        url,
    ];
    arguments.extend(more);
    fetched(output(net, "curl", &arguments), SIZE)
}

fn curl(net: &Net, to: IpAddr) -> String {
    fetch(net, &format!("http://{}/file", host(to)), &[])
}

fn ftp(net: &Net, to: IpAddr, more: &[&str]) -> String {
    let url = format!("ftp://{}/file", host(to));
    fetch(net, &url, &[&["--ftp-skip-pasv-ip"], more].concat())
}

/// How a connection to a port ends, by the error that the kernel gives.
fn connect(net: &Net, to: IpAddr, port: u16) -> String {
    let tried = net.within(Machine::Client, || {
        TcpStream::connect_timeout(&SocketAddr::new(to, port), CONNECTING)
    });
    match tried {
        Err(e) => format!("{e:#}"),
        Ok(Ok(_)) => "connected".into(),
        Ok(Err(e)) if e.kind() == ErrorKind::TimedOut => "timed out".into(),
        Ok(Err(e)) => {
            let said = e.to_string();
            said.split(" (os").next().unwrap_or_default().to_lowercase()
        }
    }
}

/// How connections one after the other end: runs of the same, by how long they are.
fn connect_often(net: &Net, to: IpAddr) -> String {
    let mut runs: Vec<(String, u32)> = Vec::new();
    for _ in 0..6 {
        let ended = connect(net, to, 80);
        match runs.last_mut() {
            Some((same, count)) if *same == ended => *count += 1,
            _ => runs.push((ended, 1)),
        }
    }
    let runs: Vec<String> = runs.iter().map(|(how, n)| format!("{n} {how}")).collect();
    runs.join(", ")
}

/// Segments of a flood.
const FLOOD: u16 = 3000;

/// A file is fetched while connections are begun and left alone.
fn curl_in_a_flood(net: &Net, to: IpAddr) -> String {
    let flood = net.within(Machine::Client, || flood(to));
    match flood {
        Ok(Ok(())) => curl(net, to),
        Ok(Err(e)) => format!("no flood: {e}"),
        Err(e) => format!("no flood: {e:#}"),
    }
}

/// Begins connections to port 80 from many ports. The answers are refused by the client's kernel, which knows of none.
fn flood(to: IpAddr) -> anyhow::Result<()> {
    let own = UdpSocket::bind(match to {
        IpAddr::V4(_) => "0.0.0.0:0",
        IpAddr::V6(_) => "[::]:0",
    })?;
    own.connect((to, 80))?;
    let ip = build::Ip::new(own.local_addr()?.ip(), to);
    let [v4, v6] = raw((0, 0))?;
    let socket = if to.is_ipv4() { v4 } else { v6 };
    let target = SockaddrStorage::from(SocketAddr::new(to, 0));
    for port in 10_000..10_000 + FLOOD {
        let header = build::Tcp {
            source_port: port,
            destination_port: 80,
            seq: u32::from(port) << 8,
            flags: flags::SYN,
            window: 1024,
            ..build::Tcp::default()
        };
        let segment = build::tcp(&ip, &header, b"");
        sendto(socket.as_raw_fd(), &segment, &target, MsgFlags::empty())?;
    }
    Ok(())
}

fn secure(net: &Net, program: &str, words: &[&str]) -> Option<Output> {
    let key = net.directory().join("key").display().to_string();
    let options = [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "GlobalKnownHostsFile=/dev/null",
        "ConnectTimeout=3",
        "BatchMode=yes",
        "LogLevel=ERROR",
        "IdentitiesOnly=yes",
    ];
    let mut arguments = vec!["-F", "none", "-i", &key];
    for option in options {
        arguments.extend(["-o", option]);
    }
    arguments.extend(words);
    output(net, program, &arguments)
}

fn ssh(net: &Net, to: IpAddr) -> String {
    let target = format!("root@{to}");
    match secure(net, "ssh", &[&target, "echo through"]) {
        None => "hangs".into(),
        Some(output) if output.stdout.starts_with(b"through") => "through".into(),
        Some(output) => failure(&output),
    }
}

fn scp(net: &Net, to: IpAddr) -> String {
    let copy = net.directory().join(format!("copy-{}", to.is_ipv4()));
    let files = net.directory().join("file").display().to_string();
    let source = format!("root@{}:{files}", host(to));
    let target = copy.display().to_string();
    match secure(net, "scp", &[&source, &target]) {
        None => "hangs".into(),
        Some(output) if output.status.success() => {
            let size = std::fs::metadata(&copy).map_or(0, |m| m.len());
            if size == SIZE as u64 {
                "whole".into()
            } else {
                format!("{size} bytes")
            }
        }
        Some(output) => failure(&output),
    }
}

fn tftp(net: &Net, to: IpAddr) -> String {
    let copy = net.directory().join(format!("tftp-{}", to.is_ipv4()));
    let target = copy.display().to_string();
    let to = to.to_string();
    let arguments = [to.as_str(), "-m", "binary", "-c", "get", "file", &target];
    if output(net, "tftp", &arguments).is_none() {
        return "hangs".into();
    }
    match std::fs::metadata(&copy).map_or(0, |m| m.len()) {
        size if size == SIZE as u64 => "whole".into(),
        size => format!("{size} bytes"),
    }
}

/// How many answers came, and what came instead.
fn answers(output: Option<Output>) -> String {
    let Some(output) = output else {
        return "hangs".into();
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let came = said.lines().filter(|l| l.contains("bytes from")).count();
    let mut errors: Vec<&str> = said
        .lines()
        .filter(|l| l.starts_with("From "))
        .filter_map(|l| l.split_once("icmp_seq=")?.1.split_once(' '))
        .map(|(_, error)| error)
        .collect();
    errors.dedup();
    match errors.as_slice() {
        [] => format!("{came} of 2"),
        errors => format!("{came} of 2, {}", errors.join(", ")),
    }
}

fn ping(net: &Net, to: IpAddr) -> String {
    let to = to.to_string();
    answers(output(
        net,
        "ping",
        &["-n", "-c", "2", "-i", "0.2", "-W", "1", &to],
    ))
}

/// In fragments.
fn big_ping(net: &Net, to: IpAddr) -> String {
    let to = to.to_string();
    let arguments = ["-n", "-s", "1800", "-c", "2", "-i", "0.2", "-W", "1", &to];
    answers(output(net, "ping", &arguments))
}

/// The hops.
fn traceroute(net: &Net, to: IpAddr, how: &[&str]) -> String {
    let to = to.to_string();
    let fixed = ["-n", "-q", "1", "-w", "1", "-m", "3"];
    let Some(output) = output(net, "traceroute", &[&fixed[..], how, &[&to]].concat()) else {
        return "hangs".into();
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let hop = |line: &str| -> Option<String> {
        let mut words = line.split_whitespace().skip(1);
        let address = words.next()?;
        let mark = words.find(|word| word.starts_with('!')).unwrap_or_default();
        Some(format!("{address}{mark}"))
    };
    let hops: Vec<String> = said.lines().skip(1).filter_map(hop).collect();
    hops.join(" ")
}

fn iperf(net: &Net, to: IpAddr, how: &[&str]) -> String {
    let to = to.to_string();
    let fixed = ["-c", &to, "--connect-timeout", "2500"];
    match output(net, "iperf3", &[&fixed[..], how].concat()) {
        None => "hangs".into(),
        Some(output) if output.status.success() => "done".into(),
        Some(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            match said.rsplit_once(": ") {
                Some((_, why)) => why.trim().to_string(),
                None => format!("exit {}", output.status.code().unwrap_or(-1)),
            }
        }
    }
}

fn dig(net: &Net, to: IpAddr, how: &str) -> String {
    let server = format!("@{to}");
    let (kind, answer) = match to {
        IpAddr::V4(_) => ("A", ANSWER[0]),
        IpAddr::V6(_) => ("AAAA", ANSWER[1]),
    };
    let arguments = [
        "+tries=1",
        "+timeout=2",
        "+short",
        how,
        &server,
        "example.test",
        kind,
    ];
    let Some(output) = output(net, "dig", &arguments) else {
        return "hangs".into();
    };
    let said = String::from_utf8_lossy(&output.stdout);
    if said.trim() == answer {
        return "answered".into();
    }
    let why = [
        "connection refused",
        "timed out",
        "host unreachable",
        "network unreachable",
    ];
    let why = why.iter().find(|why| said.contains(**why));
    why.map_or_else(
        || format!("exit {}", output.status.code().unwrap_or(-1)),
        |w| (*w).to_string(),
    )
}

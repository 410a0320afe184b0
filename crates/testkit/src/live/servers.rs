//! What runs on a machine: nginx, sshd, vsftpd, tftpd, iperf3, dnsmasq.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::net::{Machine, Net};
use crate::kernel::find;

/// Bytes of the file that is fetched.
pub const SIZE: usize = 300_000;

/// What the name server says.
pub const ANSWER: [&str; 2] = ["192.0.2.7", "2001:db8::7"];

/// Programs that servers and clients are; the packages that bring them are named in `.ci/run`.
pub const PROGRAMS: [&str; 14] = [
    "nginx",
    "sshd",
    "vsftpd",
    "in.tftpd",
    "iperf3",
    "dnsmasq",
    "curl",
    "ssh",
    "scp",
    "tftp",
    "ping",
    "traceroute",
    "dig",
    "ssh-keygen",
];

/// Which of the programs are not here.
pub fn missing() -> Vec<&'static str> {
    let absent = |program: &&str| find(program).is_err();
    PROGRAMS.into_iter().filter(absent).collect()
}

/// The ports that are listened on.
const PORTS: [(&str, u16); 7] = [
    ("tcp", 80),
    ("tcp", 22),
    ("tcp", 21),
    ("udp", 69),
    ("tcp", 5201),
    ("udp", 53),
    ("tcp", 53),
];

/// Starts all servers on a machine, and waits until they listen.
///
/// # Errors
/// When one cannot be started, or does not listen in time.
pub fn start(net: &Net, machine: Machine) -> Result<()> {
    let home = net.directory().join(format!("{machine:?}"));
    let files = home.join("files");
    fs::create_dir_all(&files)?;
    fs::create_dir_all(home.join("empty"))?;
    fs::write(files.join("file"), contents())?;
    fs::write(net.directory().join("file"), contents())?;
    let at = home.display().to_string();
    let file = |name: &str, text: String| -> Result<String> {
        let path = home.join(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    };

    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {at}/{kind};"))
        .join(" ");
    let nginx = file(
        "nginx.conf",
        format!(
            "daemon off; master_process off; pid {at}/nginx.pid; error_log stderr crit; events {{}}\n\
             http {{ access_log off; {temporary}\n\
             server {{ listen 80; listen [::]:80; location / {{ root {at}/files; }} }} }}\n"
        ),
    )?;
    run(net, machine, "nginx", &["-e", "stderr", "-c", &nginx])?;

    keys(net)?;
    let key = net.directory().join("key").display().to_string();
    let sshd = file(
        "sshd.conf",
        format!(
            "HostKey {key}\nAuthorizedKeysFile {key}.pub\nStrictModes no\nUsePAM no\nPidFile none\n\
             PermitRootLogin yes\nUseDNS no\nMaxStartups 100\n\
             Subsystem sftp internal-sftp\n"
        ),
    )?;
    fs::create_dir_all("/run/sshd")?;
    run(net, machine, "sshd", &["-D", "-e", "-f", &sshd])?;

    let vsftpd = file(
        "vsftpd.conf",
        format!(
            "listen=NO\nlisten_ipv6=YES\nanonymous_enable=YES\nanon_root={at}/files\nno_anon_password=YES\n\
             secure_chroot_dir={at}/empty\nrun_as_launching_user=NO\nseccomp_sandbox=NO\nbackground=NO\n"
        ),
    )?;
    run(net, machine, "vsftpd", &[&vsftpd])?;
    run(
        net,
        machine,
        "in.tftpd",
        &["-L", "-u", "root", "-s", &format!("{at}/files")],
    )?;
    run(net, machine, "iperf3", &["-s"])?;
    let [v4, v6] = ANSWER.map(|answer| format!("--address=/example.test/{answer}"));
    let names = [
        "-k",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
        "--pid-file=",
        "--conf-file=/dev/null",
    ];
    run(net, machine, "dnsmasq", &[&names[..], &[&v4, &v6]].concat())?;
    net.listening(machine, &PORTS)
        .with_context(|| words(net, machine))
}

/// The file that is fetched.
fn contents() -> Vec<u8> {
    (0..SIZE).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// A key that is the machines' and the user's own.
fn keys(net: &Net) -> Result<()> {
    let key = net.directory().join("key");
    if key.exists() {
        return Ok(());
    }
    let output = Command::new(find("ssh-keygen")?)
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .output()?;
    if !output.status.success() {
        bail!("ssh-keygen: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn run(net: &Net, machine: Machine, program: &str, arguments: &[&str]) -> Result<()> {
    let path = find(program)?;
    net.start(machine, &path.display().to_string(), arguments)?;
    Ok(())
}

/// What the servers of a machine said.
fn words(net: &Net, machine: Machine) -> String {
    let mut all = String::new();
    for program in PROGRAMS {
        let said = fs::read_to_string(net.log(machine, program)).unwrap_or_default();
        if !said.is_empty() {
            all += &format!("{program}: {said}\n");
        }
    }
    all
}

//! Real programs through a firewall that is the kernel's, and through Palisade with the same file of rules: they work,
//! and are refused, alike.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use palisade_rules::Family;
use palisade_testkit::live::clients::{self, Client};
use palisade_testkit::live::enforce::{By, Rules, enforce};
use palisade_testkit::live::net::{Machine, Net, Shape};
use palisade_testkit::live::servers;
use palisade_testkit::real::{asked, say};

/// Rules, and where they are enforced on whom.
struct Case {
    rules: Rules,
    shape: Shape,
    /// Whom the client talks to.
    target: Machine,
    /// `palisade run` with these, each beside the kernel.
    backends: &'static [&'static [&'static str]],
    /// What the client does; everything where nothing is named. One after the other if `in_turn`.
    clients: &'static [&'static str],
    in_turn: bool,
}

const ROUTER: &[&[&str]] = &[&["--router"]];
const HOST: &[&[&str]] = &[&["--host"], &["--router"]];
const WIRE: &[&[&str]] = &[
    &["--wire", "lan0,wan0", "--wire-by", "xdp"],
    &["--wire", "lan0,wan0", "--wire-by", "packet"],
];

const NONE: Rules = Rules {
    name: "none",
    v4: "*filter\nCOMMIT\n",
    v6: "*filter\nCOMMIT\n",
};

/// What passes through.
const WEB: Rules = Rules {
    name: "web server",
    v4: "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n\
         -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A FORWARD -m conntrack --ctstate INVALID -j DROP\n\
         -A FORWARD -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT\n\
         -A FORWARD -p udp -m udp --dport 53 -j ACCEPT\n\
         -A FORWARD -p icmp -m icmp --icmp-type echo-request -j ACCEPT\n\
         -A FORWARD -p tcp -m tcp --dport 22 -j REJECT --reject-with icmp-admin-prohibited\n\
         -A FORWARD -p tcp -m multiport --dports 81,5201 -j REJECT --reject-with tcp-reset\n\
         -A FORWARD -p udp -m udp --dport 33434:33534 -j REJECT\nCOMMIT\n",
    v6: "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n\
         -A INPUT -p ipv6-icmp -j ACCEPT\n\
         -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A FORWARD -m conntrack --ctstate INVALID -j DROP\n\
         -A FORWARD -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT\n\
         -A FORWARD -p udp -m udp --dport 53 -j ACCEPT\n\
         -A FORWARD -p ipv6-icmp -j ACCEPT\n\
         -A FORWARD -p tcp -m tcp --dport 22 -j REJECT --reject-with icmp6-adm-prohibited\n\
         -A FORWARD -p tcp -m multiport --dports 81,5201 -j REJECT --reject-with tcp-reset\n\
         -A FORWARD -p udp -m udp --dport 33434:33534 -j REJECT\nCOMMIT\n",
};

/// What RELATED lets through with helpers.
const HELPERS: Rules = Rules {
    name: "helpers",
    v4: "*raw\n-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp\n\
         -A PREROUTING -p udp -m udp --dport 69 -j CT --helper tftp\nCOMMIT\n\
         *filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n\
         -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A FORWARD -p tcp -m tcp --dport 21 -m conntrack --ctstate NEW -j ACCEPT\n\
         -A FORWARD -p udp -m udp --dport 69 -m conntrack --ctstate NEW -j ACCEPT\n\
         -A FORWARD -j REJECT --reject-with icmp-host-prohibited\nCOMMIT\n",
    v6: "*raw\n-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp\n\
         -A PREROUTING -p udp -m udp --dport 69 -j CT --helper tftp\nCOMMIT\n\
         *filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n\
         -A INPUT -p ipv6-icmp -j ACCEPT\n\
         -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A FORWARD -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j ACCEPT\n\
         -A FORWARD -p ipv6-icmp -m icmp6 --icmpv6-type 136 -j ACCEPT\n\
         -A FORWARD -p tcp -m tcp --dport 21 -m conntrack --ctstate NEW -j ACCEPT\n\
         -A FORWARD -p udp -m udp --dport 69 -m conntrack --ctstate NEW -j ACCEPT\n\
         -A FORWARD -j REJECT --reject-with icmp6-adm-prohibited\nCOMMIT\n",
};

/// The control connection passes, what it announces does not.
const NO_HELPERS: Rules = Rules {
    name: "no helpers",
    v4: "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n\
         -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A FORWARD -p tcp -m tcp --dport 21 -j ACCEPT\n\
         -A FORWARD -p udp -m udp --dport 69 -j ACCEPT\nCOMMIT\n",
    v6: "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n\
         -A INPUT -p ipv6-icmp -j ACCEPT\n\
         -A FORWARD -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j ACCEPT\n\
         -A FORWARD -p ipv6-icmp -m icmp6 --icmpv6-type 136 -j ACCEPT\n\
         -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A FORWARD -p tcp -m tcp --dport 21 -j ACCEPT\n\
         -A FORWARD -p udp -m udp --dport 69 -j ACCEPT\nCOMMIT\n",
};

/// Out through an address of the router's, and in by some of its ports.
const NAT: Rules = Rules {
    name: "translation",
    v4: "*raw\n-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp\n\
         -A PREROUTING -p udp -m udp --dport 69 -j CT --helper tftp\nCOMMIT\n\
         *nat\n-A PREROUTING -i lan0 -d 10.1.0.1 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.2.0.2:80\n\
         -A PREROUTING -i lan0 -d 10.1.0.1 -p tcp -m multiport --dports 80,21,22,5201 -j DNAT --to-destination 10.2.0.2\n\
         -A PREROUTING -i lan0 -d 10.1.0.1 -p udp -j DNAT --to-destination 10.2.0.2\n\
         -A PREROUTING -i lan0 -d 10.1.0.1 -p icmp -j DNAT --to-destination 10.2.0.2\n\
         -A POSTROUTING -o wan0 -j MASQUERADE\nCOMMIT\n\
         *filter\n:FORWARD DROP\n\
         -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A FORWARD -i lan0 -o wan0 -j ACCEPT\nCOMMIT\n",
    v6: "*raw\n-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp\n\
         -A PREROUTING -p udp -m udp --dport 69 -j CT --helper tftp\nCOMMIT\n\
         *nat\n-A PREROUTING -i lan0 -d fd00:1::1 -p tcp -m tcp --dport 8080 -j DNAT --to-destination [fd00:2::2]:80\n\
         -A PREROUTING -i lan0 -d fd00:1::1 -p tcp -m multiport --dports 80,21,22,5201 -j DNAT --to-destination fd00:2::2\n\
         -A PREROUTING -i lan0 -d fd00:1::1 -p udp -j DNAT --to-destination fd00:2::2\n\
         -A PREROUTING -i lan0 -d fd00:1::1 -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j DNAT --to-destination fd00:2::2\n\
         -A POSTROUTING -o wan0 -j MASQUERADE\nCOMMIT\n\
         *filter\n:FORWARD DROP\n\
         -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A FORWARD -i lan0 -o wan0 -j ACCEPT\nCOMMIT\n",
};

/// What a machine takes and answers itself.
const OWN: Rules = Rules {
    name: "own services",
    v4: "*raw\n-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp\n\
         -A PREROUTING -p udp -m udp --dport 69 -j CT --helper tftp\nCOMMIT\n\
         *nat\n-A PREROUTING -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 80\nCOMMIT\n\
         *filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n\
         -A INPUT -i lo -j ACCEPT\n\
         -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A INPUT -p tcp -m multiport --dports 80,21,22 -m conntrack --ctstate NEW -j ACCEPT\n\
         -A INPUT -p udp -m multiport --dports 69,53 -j ACCEPT\n\
         -A INPUT -p icmp -m icmp --icmp-type echo-request -j ACCEPT\n\
         -A INPUT -p tcp -m tcp --dport 81 -j REJECT --reject-with tcp-reset\n\
         -A INPUT -p udp -j REJECT\nCOMMIT\n",
    v6: "*raw\n-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp\n\
         -A PREROUTING -p udp -m udp --dport 69 -j CT --helper tftp\nCOMMIT\n\
         *nat\n-A PREROUTING -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 80\nCOMMIT\n\
         *filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n\
         -A INPUT -i lo -j ACCEPT\n\
         -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A INPUT -p tcp -m multiport --dports 80,21,22 -m conntrack --ctstate NEW -j ACCEPT\n\
         -A INPUT -p udp -m multiport --dports 69,53 -j ACCEPT\n\
         -A INPUT -p ipv6-icmp -j ACCEPT\n\
         -A INPUT -p tcp -m tcp --dport 81 -j REJECT --reject-with tcp-reset\n\
         -A INPUT -p udp -j REJECT\nCOMMIT\n",
};

/// Rules that remember.
const LIMITS: Rules = Rules {
    name: "limits",
    v4: "*filter\n:FORWARD ACCEPT\n\
         -A FORWARD -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -m limit --limit 1/hour --limit-burst 4 -j ACCEPT\n\
         -A FORWARD -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j REJECT --reject-with tcp-reset\n\
         -A FORWARD -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --name S --set\n\
         -A FORWARD -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --name S --update --seconds 60 --hitcount 2 -j REJECT\nCOMMIT\n",
    v6: "*filter\n:FORWARD ACCEPT\n\
         -A FORWARD -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -m limit --limit 1/hour --limit-burst 4 -j ACCEPT\n\
         -A FORWARD -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j REJECT --reject-with tcp-reset\n\
         -A FORWARD -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --name S --set\n\
         -A FORWARD -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --name S --update --seconds 60 --hitcount 2 -j REJECT\nCOMMIT\n",
};

/// What a bridge lets pass. A bridge without addresses of its own has no way to answer with, so nothing is rejected.
const SILENT: Rules = Rules {
    name: "without answers",
    v4: "*raw\n-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp\n\
         -A PREROUTING -p udp -m udp --dport 69 -j CT --helper tftp\nCOMMIT\n\
         *filter\n:FORWARD DROP\n\
         -A FORWARD -m conntrack --ctstate INVALID -j DROP\n\
         -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A FORWARD -p tcp -m multiport --dports 80,21,8080 -m conntrack --ctstate NEW -j ACCEPT\n\
         -A FORWARD -p udp -m multiport --dports 53,69 -m conntrack --ctstate NEW -j ACCEPT\n\
         -A FORWARD -p icmp -m icmp --icmp-type echo-request -j ACCEPT\nCOMMIT\n",
    v6: "*raw\n-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp\n\
         -A PREROUTING -p udp -m udp --dport 69 -j CT --helper tftp\nCOMMIT\n\
         *filter\n:FORWARD DROP\n\
         -A FORWARD -p ipv6-icmp -j ACCEPT\n\
         -A FORWARD -m conntrack --ctstate INVALID -j DROP\n\
         -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
         -A FORWARD -p tcp -m multiport --dports 80,21,8080 -m conntrack --ctstate NEW -j ACCEPT\n\
         -A FORWARD -p udp -m multiport --dports 53,69 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
};

const CASES: &[Case] = &[
    through(NONE, ROUTER),
    through(WEB, ROUTER),
    through(HELPERS, ROUTER),
    through(NO_HELPERS, ROUTER),
    through(NAT, ROUTER),
    Case {
        target: Machine::Firewall,
        ..through(NAT, ROUTER)
    },
    Case {
        clients: &[OFTEN, "connect 22", "ssh"],
        in_turn: true,
        ..through(LIMITS, ROUTER)
    },
    Case {
        target: Machine::Firewall,
        ..through(OWN, HOST)
    },
    Case {
        shape: Shape::Bridged,
        ..through(NONE, WIRE)
    },
    Case {
        shape: Shape::Bridged,
        ..through(SILENT, WIRE)
    },
];

const fn through(rules: Rules, backends: &'static [&'static [&'static str]]) -> Case {
    Case {
        rules,
        shape: Shape::Routed,
        target: Machine::Server,
        backends,
        clients: &[],
        in_turn: false,
    }
}

/// What only rules that count are asked.
const OFTEN: &str = "connect 80, six times";

/// Clients that disturb others.
const ALONE: &[&str] = &[
    "curl in a flood",
    OFTEN,
    // Its server serves one at a time.
    "iperf3 TCP",
    "iperf3 reverse",
];

/// How many firewalls are tried at a time; most of their time is waiting.
const WORLDS: usize = 6;

/// What clients saw: by client and family.
type Seen = BTreeMap<(&'static str, u8), String>;

impl Case {
    fn name(&self) -> String {
        let target = match self.target {
            Machine::Firewall => " to the firewall",
            _ => "",
        };
        let shape = match self.shape {
            Shape::Routed => "routed",
            Shape::Bridged => "bridged",
        };
        format!("{}, {shape}{target}", self.rules.name)
    }

    /// Whether a client sees the same again when nothing else goes on. Real programs on a machine with other work miss a
    /// moment now and then, in the kernel's world as in ours; what differs by the rules differs each time.
    fn differs_again(&self, by: &By, client: &'static str, family: u8) -> bool {
        (0..2).all(|_| {
            let both = [&By::Kernel, by].map(|by| {
                let seen = self.run(by, Some(client)).ok()?;
                seen.get(&(client, family)).cloned()
            });
            let [kernel, ours] = both;
            kernel.is_none() || kernel != ours
        })
    }

    fn clients(&self) -> impl Iterator<Item = &'static Client> {
        let all = self.clients.is_empty();
        clients::ALL.iter().filter(move |c| match all {
            true => c.name != OFTEN,
            false => self.clients.contains(&c.name),
        })
    }

    /// The kernel, and Palisade by each backend.
    fn everybody(&self) -> Vec<By> {
        let words = |words: &&[&str]| words.iter().map(|w| (*w).to_string()).collect();
        let ours = self.backends.iter().map(|b| By::Palisade(words(b)));
        std::iter::once(By::Kernel).chain(ours).collect()
    }

    /// What the clients see when somebody enforces the rules.
    fn run(&self, by: &By, only: Option<&str>) -> anyhow::Result<Seen> {
        let net = Net::new(self.shape)?;
        let served = match self.target {
            Machine::Firewall if self.rules.name == OWN.name => Machine::Firewall,
            _ => Machine::Server,
        };
        servers::start(&net, served)?;
        let palisade = Path::new(env!("CARGO_BIN_EXE_palisade"));
        let mut child = enforce(&net, by, &self.rules, palisade)?;
        let seen = Mutex::new(Seen::new());
        let one = |client: &Client, family: Family| {
            let words = (client.run)(&net, net.address(self.target, family));
            let mut seen = seen.lock().expect("no panic");
            seen.insert(
                (client.name, if family == Family::V4 { 4 } else { 6 }),
                words,
            );
        };
        let clients = || self.clients().filter(|c| only.is_none_or(|o| o == c.name));
        let alone = |client: &&Client| self.in_turn || ALONE.contains(&client.name);
        std::thread::scope(|scope| {
            for client in clients().filter(|c| !alone(c)) {
                for family in [Family::V4, Family::V6] {
                    let one = &one;
                    scope.spawn(move || one(client, family));
                }
            }
        });
        for client in clients().filter(alone) {
            for family in [Family::V4, Family::V6] {
                one(client, family);
            }
        }
        if let Some(child) = &mut child {
            let ended = child.try_wait()?;
            anyhow::ensure!(ended.is_none(), "palisade ended: {ended:?}");
            child.kill()?;
            child.wait()?;
        }
        Ok(seen.into_inner().expect("no panic"))
    }
}

#[test]
fn programs_work_and_are_refused_as_under_the_kernels_own_rules() {
    if !asked("THE REAL PROGRAMS WERE") {
        return;
    }
    let missing = servers::missing();
    if !missing.is_empty() {
        let required = std::env::var_os("PALISADE_REQUIRE_KERNEL").is_some_and(|v| v == "1");
        say(&format!(
            "SKIPPED: programs that are not here: {}",
            missing.join(", ")
        ));
        assert!(
            !required,
            "PALISADE_REQUIRE_KERNEL=1, but programs are missing"
        );
        return;
    }
    let only = std::env::var("PALISADE_CASE").unwrap_or_default();
    let cases: Vec<(&Case, Vec<By>)> = CASES
        .iter()
        .filter(|c| c.name().contains(&only))
        .map(|case| (case, case.everybody()))
        .collect();
    let runs = cases
        .iter()
        .flat_map(|(case, all)| all.iter().map(move |by| (*case, by)));
    let waiting = Mutex::new(runs.enumerate());
    let seen = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..WORLDS {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no panic").next();
                    let Some((number, (case, by))) = next else {
                        break;
                    };
                    let saw = case.run(by, None);
                    seen.lock().expect("no panic").insert(number, saw);
                }
            });
        }
    });
    let mut seen = seen.into_inner().expect("no panic").into_values();
    let mut bad = Vec::new();
    let (mut rows, mut fleeting) = (0, 0);
    for (case, all) in &cases {
        let mut good = Vec::new();
        for (by, seen) in all.iter().zip(seen.by_ref()) {
            match seen {
                Ok(seen) => good.push((by, seen)),
                Err(e) => bad.push(format!("{}: {by:?}: {e:#}", case.name())),
            }
        }
        let Some((_, kernel)) = good.first() else {
            continue;
        };
        say(&format!("\n{}", case.name()));
        for (key @ (client, family), expected) in kernel {
            let mut line = format!("  {client:22} IPv{family}  kernel: {expected:32}");
            for (by, seen) in &good[1..] {
                let ours = seen.get(key).map(String::as_str).unwrap_or("nothing");
                let By::Palisade(words) = by else { continue };
                let name = words.join(" ");
                if ours == expected {
                    line += &format!(" {name}: the same");
                } else if !case.differs_again(by, client, *family) {
                    line += &format!(" {name}: the same (the second time)");
                    fleeting += 1;
                } else {
                    line += &format!(" {name}: {ours} (DIFFERS)");
                    bad.push(format!(
                        "{}: {client} IPv{family}: kernel {expected}, {name} {ours}",
                        case.name()
                    ));
                }
                rows += 1;
            }
            say(&line);
        }
    }
    say(&format!(
        "compared: {rows}, differences: {}, fleeting: {fleeting}",
        bad.len()
    ));
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

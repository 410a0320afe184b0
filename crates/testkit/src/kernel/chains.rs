//! Our own nftables chains around the iptables ones: they show what a packet becomes, and keep the
//! machine's own packets out.

use super::watch::GROUP;

/// Chains that need no connection tracking. Loaded before any rule, so that the last ones stand behind
/// conntrack's own at the same, lowest priority, which confirm entries and run helpers.
///
/// Whatever came through is dropped there: no local socket answers it, nothing leaves a device, and the
/// log alone says that it was accepted. What the machine sends to itself comes in again by the loopback
/// interface, and is delivered. Packets of the machine itself are told apart by their socket:
/// only ours belongs to a file, and so to a user. The others (multicast reports, solicitations, errors,
/// but not the answers of REJECT) end before conntrack and iptables' raw table see them.
///
/// With `proxies` all that the machine says by TCP without a socket is SYNPROXY's.
pub fn around(proxies: bool) -> String {
    let log = |words: &str| format!("log prefix \"{words}\" group {GROUP} queue-threshold 1");
    let (arrived, whole, foreign) = (log("arrived"), log("whole"), log("foreign"));
    // What REJECT can send. The kernel's own errors are others: time exceeded, parameter problem.
    let answer = log("answer");
    let proxied = if proxies {
        "meta l4proto tcp goto answer"
    } else {
        ""
    };
    let answers = "tcp flags & rst == rst goto answer
         icmp type destination-unreachable icmp code { 0, 1, 2, 3, 9, 10, 13 } goto answer
         icmpv6 type destination-unreachable goto answer";
    let (delivered, left) = (log("delivered"), log("left"));
    format!(
        "table inet palisade {{
           chain arrive {{ type filter hook prerouting priority -450; iifname \"lo\" accept
             meta nftrace set 1
             {arrived}
           }}
           chain whole {{ type filter hook prerouting priority -399; {whole}
           }}
           chain sent {{ type filter hook output priority -450; meta skuid 0-4294967294 goto own
             {answers}
             {proxied}
             {foreign}
             drop
           }}
           chain answer {{ {answer}
           }}
           chain own {{ meta nftrace set 1
             {arrived}
           }}
           chain sent_whole {{ type filter hook output priority -399; {whole}
           }}
           chain delivered {{ type filter hook input priority 2147483647; {delivered}
             drop
           }}
           chain left {{ type filter hook postrouting priority 2147483647; oifname \"lo\" accept
             fib daddr type broadcast {left} accept
             {left}
             drop
           }}
         }}\n"
    )
}

/// Chains that log state and direction, right behind conntrack. They make the kernel track connections
/// and reassemble fragments, even when no rule asks for it.
pub fn tracking() -> String {
    let mut rules = String::new();
    for state in ["invalid", "untracked"] {
        rules += &format!(
            "ct state {state} log prefix \"state {}\" group {GROUP} queue-threshold 1\n",
            state.to_uppercase()
        );
    }
    for state in ["new", "established", "related"] {
        for direction in ["original", "reply"] {
            rules += &format!(
                "ct state {state} ct direction {direction} log prefix \"state {} {direction}\" \
                 group {GROUP} queue-threshold 1\n",
                state.to_uppercase()
            );
        }
    }
    format!(
        "table inet palisade_tracking {{
           chain arriving {{ type filter hook prerouting priority -190; {rules}
           }}
           chain sending {{ type filter hook output priority -190; {rules}
           }}
         }}\n"
    )
}

//! Captures of real clients and servers: the connections that helpers announce are RELATED to their parents with
//! the helper, and NEW without.

mod captured;

use captured::trace;

/// Frame, the parent's number, and what the reason says.
type Related = (u64, u64, &'static str);

#[test]
fn announced_connections_of_real_programs_are_related() {
    let cases: [(&str, &str, &str, u16, &[Related]); 7] = [
        (
            "tftp",
            "tftp",
            "udp",
            69,
            &[(2, 1, "boot.img"), (9, 3, "back.img")],
        ),
        ("irc-dcc", "irc", "tcp", 6667, &[(16, 1, "DCC CHAT chat")]),
        ("amanda", "amanda", "udp", 10_080, &[(5, 1, "DATA 50042")]),
        ("sane", "sane", "tcp", 6566, &[(47, 1, "sane helper")]),
        ("pptp", "pptp", "tcp", 1723, &[(11, 1, "pptp helper")]),
        (
            "netbios-ns",
            "netbios-ns",
            "udp",
            137,
            &[
                (2, 1, "netbios-ns helper"),
                (3, 1, "netbios-ns helper by connection 1; no reply"),
            ],
        ),
        (
            "snmp-broadcast",
            "snmp",
            "udp",
            161,
            &[(2, 1, "snmp helper")],
        ),
    ];
    for (capture, helper, protocol, port, expected) in cases {
        let rules: String = ["PREROUTING", "OUTPUT"]
            .map(|chain| {
                format!("iptables -t raw -A {chain} -p {protocol} --dport {port} -j CT --helper {helper}\n")
            })
            .concat();
        let lines = trace(capture, &rules);
        let related: Vec<_> = lines.iter().filter(|l| l["ctstate"] == "RELATED").collect();
        let frames: Vec<_> = related
            .iter()
            .map(|l| l["n"].as_u64().unwrap_or(0))
            .collect();
        let wanted: Vec<_> = expected.iter().map(|e| e.0).collect();
        assert_eq!(frames, wanted, "{capture}");
        for (line, (_, parent, why)) in related.iter().zip(expected) {
            assert_eq!(line["ct"]["master"], *parent, "{capture}");
            let said = line["why"].as_str().unwrap_or_default();
            assert!(said.contains(why), "{said}");
        }
        let invalid = lines.iter().find(|l| l["ctstate"] == "INVALID");
        assert_eq!(invalid, None, "{capture}");
        let without = trace(capture, "iptables -P FORWARD ACCEPT\n");
        for frame in wanted {
            let line = without.iter().find(|l| l["n"] == frame).expect("the frame");
            assert_eq!(line["ctstate"], "NEW", "{capture} {frame}");
        }
    }
}

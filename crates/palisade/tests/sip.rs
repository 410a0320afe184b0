//! Captures of SIP: the media and calls of real programs are RELATED to what announced them.

mod captured;

use captured::trace;

#[test]
fn media_and_calls_are_related_to_what_announced_them() {
    let helped = "iptables -t raw -A PREROUTING -p udp --dport 5060 -j CT --helper sip\n\
                  iptables -t raw -A PREROUTING -p tcp --dport 5060 -j CT --helper sip\n\
                  ip6tables -t raw -A PREROUTING -p udp --dport 5060 -j CT --helper sip\n";
    // For each connection that was announced: its parent's number, and the announcing bytes.
    let call = [(1, "audio 6000")];
    let registered = [(1, "203.0.113.9:5060"), (2, "audio 6000")];
    for (capture, announced) in [
        ("sip-call", call.as_slice()),
        ("sip-call-tcp", &call),
        ("sip-call-v6", &call),
        ("sip-registered", &registered),
    ] {
        let lines = trace(capture, helped);
        // A connection's first packet says by what it was announced.
        let mut firsts: Vec<&serde_json::Value> = Vec::new();
        for line in lines.iter().filter(|l| l["ctstate"] == "RELATED") {
            if firsts.iter().all(|f| f["ct"]["id"] != line["ct"]["id"]) {
                firsts.push(line);
            }
        }
        assert_eq!(firsts.len(), announced.len(), "{capture}");
        for (line, (parent, text)) in firsts.iter().zip(announced) {
            assert_eq!(line["ct"]["master"], *parent, "{capture}");
            let why = line["why"].as_str().unwrap_or_default();
            assert!(why.contains(text), "{capture}: {why}");
        }
        let odd = lines.iter().find(|l| l["ctstate"] == "INVALID");
        assert_eq!(odd, None, "{capture}");
        let without = trace(capture, "iptables -P FORWARD ACCEPT\n");
        for line in firsts {
            let same = without.iter().find(|l| l["n"] == line["n"]);
            assert_eq!(same.expect("the frame")["ctstate"], "NEW", "{capture}");
        }
    }
}

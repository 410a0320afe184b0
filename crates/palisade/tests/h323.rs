//! A captured H.323 call: each of its connections is RELATED to the one that announced it, and NEW without the
//! helper.

mod captured;

use captured::trace;

#[test]
fn a_call_is_followed_from_its_admission_to_its_media() {
    let lines = trace(
        "h323",
        "iptables -t raw -A PREROUTING -p udp --dport 1719 -j CT --helper RAS\n\
         iptables -P FORWARD ACCEPT\n",
    );
    // Frame, connection and its parent, helper, and what announced it.
    let wanted = [
        (5, 2, 1, "Q.931", "192.0.2.10:1721"),
        (14, 3, 2, "H.245", "192.0.2.10:11720"),
        (25, 4, 3, "", "192.0.2.10:6005"),
        (30, 5, 3, "", "192.0.2.10:6005"),
    ];
    let related: Vec<_> = lines.iter().filter(|l| l["ctstate"] == "RELATED").collect();
    assert_eq!(related.len(), wanted.len());
    for (line, (frame, connection, parent, helper, announced)) in related.into_iter().zip(wanted) {
        assert_eq!(line["n"], frame);
        assert_eq!(line["ct"]["id"], connection, "frame {frame}");
        assert_eq!(line["ct"]["master"], parent, "frame {frame}");
        assert_eq!(line["ct"]["helper"].as_str().unwrap_or(""), helper);
        let said = line["why"].as_str().unwrap_or_default();
        assert!(said.contains(announced), "{said}");
    }
    assert!(lines.iter().all(|l| l["ctstate"] != "INVALID"));
}

#[test]
fn without_a_helper_each_connection_of_a_call_is_new() {
    let lines = trace("h323", "iptables -P FORWARD ACCEPT\n");
    let new: Vec<_> = lines
        .iter()
        .filter(|l| l["ctstate"] == "NEW" && l["ct"]["replied"] == false)
        .filter_map(|l| l["n"].as_u64())
        .collect();
    assert!(
        [1, 5, 14, 25, 30].iter().all(|n| new.contains(n)),
        "{new:?}"
    );
}

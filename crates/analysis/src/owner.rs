//! Chains that a program writes and rewrites: what is in them is not the administrator's to change.

use palisade_rules::TableKind;

use crate::map::Map;

/// The program that owns a chain, by the names that it gives.
pub(crate) fn owner(map: &Map<'_>, name: &str) -> Option<&'static str> {
    const PREFIXES: [(&str, &str); 19] = [
        ("ufw-", "ufw"),
        ("ufw6-", "ufw"),
        ("DOCKER", "Docker"),
        ("KUBE-", "kube-proxy"),
        ("cali-", "Calico"),
        ("CNI-", "CNI"),
        ("CILIUM_", "Cilium"),
        ("OLD_CILIUM_", "Cilium"),
        ("ANTREA-", "Antrea"),
        ("AZURE-NPM", "Azure NPM"),
        ("ISTIO_", "Istio"),
        ("f2b-", "fail2ban"),
        ("fail2ban-", "fail2ban"),
        ("LIBVIRT_", "libvirt"),
        ("FLANNEL-", "Flannel"),
        ("WEAVE", "Weave"),
        ("ts-", "Tailscale"),
        ("MULTI-", "multi-networkpolicy"),
        ("sshguard", "sshguard"),
    ];
    if let Some((_, program)) = PREFIXES.iter().find(|(p, _)| name.starts_with(p)) {
        return Some(program);
    }
    let has = |chain: &str| {
        map.tables
            .iter()
            .any(|t| t.chains.iter().any(|c| c.name == chain))
    };
    let firewalld = ["_direct", "_ZONES", "_POLICIES", "_ZONES_SOURCE"]
        .iter()
        .any(|part| name.contains(part))
        || [
            "IN_", "FWD_", "FWDI_", "FWDO_", "PRE_", "POST_", "OUT_", "FWO_",
        ]
        .iter()
        .any(|p| name.starts_with(p));
    if firewalld && has("INPUT_direct") {
        return Some("firewalld");
    }
    // Shorewall's skeleton; users write zones and rules, never chains.
    let shorewall = has("shorewall") || (has("dynamic") && (has("smurfs") || has("logflags")));
    let built_in = map
        .tables
        .iter()
        .any(|t| t.chains.iter().any(|c| c.name == name && c.hook.is_some()));
    if built_in {
        return None;
    }
    if shorewall {
        return Some("Shorewall");
    }
    let openwrt = has("delegate_input")
        || (has("input_rule") && has("zone_wan_input"))
        || has("input_wan_rule");
    if openwrt {
        return Some("OpenWrt");
    }
    let firehol =
        map.table(TableKind::Filter).is_some_and(|t| {
            t.chains
                .iter()
                .any(|c| c.name.starts_with("in_") && c.name.contains("_s"))
        }) && (has("CONNECT_STATE") || name.starts_with("in_") || name.starts_with("out_"));
    firehol.then_some("FireHOL")
}

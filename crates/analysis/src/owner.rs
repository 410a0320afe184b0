//! Chains that a program writes and rewrites: what is in them is not the administrator's to change.

use crate::map::Map;

/// The program that owns a chain, by the names that it gives.
pub(crate) fn owner(map: &Map<'_>, name: &str) -> Option<&'static str> {
    const PREFIXES: [(&str, &str); 24] = [
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
        ("neutron-", "OpenStack"),
        ("nova-", "OpenStack"),
        ("QBS-", "Qubes"),
        ("PR-QBS", "Qubes"),
        ("CATTLE_", "Rancher"),
    ];
    if let Some((_, program)) = PREFIXES.iter().find(|(p, _)| name.starts_with(p)) {
        return Some(program);
    }
    let has = |chain: &str| {
        map.tables
            .iter()
            .any(|t| t.chains.iter().any(|c| c.name == chain))
    };
    let begins = |prefix: &str| {
        map.tables
            .iter()
            .any(|t| t.chains.iter().any(|c| c.name.starts_with(prefix)))
    };
    // These write the whole table, built-in chains included.
    if has("INPUT_direct") || has("IN_public") && has("INPUT_ZONES") {
        return Some("firewalld");
    }
    if has("shorewall") || has("dynamic") && (has("smurfs") || has("logflags") || has("sfilter")) {
        return Some("Shorewall");
    }
    if has("input_rule") && (begins("zone_") || begins("input_wan")) || has("delegate_input") {
        return Some("OpenWrt");
    }
    if has("SMART_REJECT") && begins("in_") && begins("out_") {
        return Some("FireHOL");
    }
    None
}

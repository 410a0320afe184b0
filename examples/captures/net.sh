# Three network namespaces, for the scripts beside it: outside (203.0.113.9), the firewall (203.0.113.1 /
# 192.0.2.1) and the server behind it (192.0.2.10). Needs root, ip, ethtool, tcpdump, ping. Leaves nothing behind.
# shellcheck shell=bash
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
id=pal$$
work=$(mktemp -d)
names=("$id-out" "$id-fw" "$id-srv")
cleanup() {
    for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
    for ns in "${names[@]}"; do
        for pid in $(ip netns pids "$ns" 2>/dev/null); do kill "$pid" 2>/dev/null || true; done
        ip netns del "$ns" 2>/dev/null || true
        rm -rf "/etc/netns/$ns"
    done
    rm -rf "$work"
}
trap cleanup EXIT
for ns in "${names[@]}"; do
    ip netns add "$ns"
    ip -n "$ns" link set lo up
done
out=${names[0]} fw=${names[1]} srv=${names[2]}
ip link add o netns "$out" type veth peer name wan0 netns "$fw"
ip link add s netns "$srv" type veth peer name lan0 netns "$fw"
setup() { # namespace interface v4 v6
    ip netns exec "$1" ethtool -K "$2" tx off rx off tso off gso off gro off >/dev/null
    ip -n "$1" addr add "$3" dev "$2"
    ip -n "$1" addr add "$4" dev "$2" nodad
    ip -n "$1" link set "$2" up
}
setup "$out" o 203.0.113.9/24 2001:db8:1::9/64
setup "$fw" wan0 203.0.113.1/24 2001:db8:1::1/64
setup "$fw" lan0 192.0.2.1/24 2001:db8:2::1/64
setup "$srv" s 192.0.2.10/24 2001:db8:2::10/64
ip -n "$out" route add default via 203.0.113.1
ip -n "$out" -6 route add default via 2001:db8:1::1
ip -n "$srv" route add default via 192.0.2.1
ip -n "$srv" -6 route add default via 2001:db8:2::1
ip netns exec "$fw" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1

device=wan0
capture() { # file filter command…
    local file=$1 filter=$2
    shift 2
    ip netns exec "$fw" tcpdump -i "$device" -U -w "$work/c.pcap" --immediate-mode "$filter" 2>"$work/tcpdump.log" &
    local pid=$!
    until grep -q "listening on" "$work/tcpdump.log"; do sleep 0.05; done
    "$@" || true
    # The last packets of a closing connection.
    sleep 0.4
    kill -INT "$pid"
    wait "$pid" || true
    mv "$work/c.pcap" "$here/$file"
}

learn() {
    # Neighbours are learnt before anything is captured.
    for address in 192.0.2.10 2001:db8:2::10; do
        for _ in {1..30}; do
            if ip netns exec "$out" ping -c 1 -W 1 "$address" >/dev/null 2>&1; then break; fi
            sleep 0.1
        done
    done
}

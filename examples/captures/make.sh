#!/usr/bin/env bash
# Makes the captures of this directory: real programs talk through a firewall host, tcpdump listens on it.
# Three network namespaces: outside (203.0.113.9), the firewall (203.0.113.1 / 192.0.2.1) and the server
# behind it (192.0.2.10). Needs root, ip, ethtool, tcpdump, vsftpd, curl, ping, python3. Leaves nothing behind.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
id=pal$$
work=$(mktemp -d)
names=("$id-out" "$id-fw" "$id-srv")
cleanup() {
    for pid in $(jobs -p); do kill "$pid" 2>/dev/null || true; done
    for ns in "${names[@]}"; do ip netns del "$ns" 2>/dev/null || true; done
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

capture() { # file filter command…
    local file=$1 filter=$2
    shift 2
    ip netns exec "$fw" tcpdump -i wan0 -U -w "$work/c.pcap" --immediate-mode "$filter" 2>"$work/tcpdump.log" &
    local pid=$!
    until grep -q "listening on" "$work/tcpdump.log"; do sleep 0.05; done
    "$@" || true
    # The last packets of a closing connection.
    sleep 0.4
    kill -INT "$pid"
    wait "$pid" || true
    mv "$work/c.pcap" "$here/$file"
}

mkdir -p "$work/ftp" "$work/empty"
echo "A small file, sent over FTP." > "$work/ftp/hello.txt"
chmod 555 "$work/ftp"
cat > "$work/vsftpd.conf" <<CONF
listen=NO
listen_ipv6=YES
anonymous_enable=YES
anon_root=$work/ftp
secure_chroot_dir=$work/empty
no_anon_password=YES
run_as_launching_user=NO
seccomp_sandbox=NO
background=NO
CONF
chmod 755 "$work"
ip netns exec "$srv" vsftpd "$work/vsftpd.conf" &
ip netns exec "$srv" python3 -m http.server 80 --directory "$work/ftp" >/dev/null 2>&1 &
until ip netns exec "$srv" ss -ltn | grep -q ':21 '; do sleep 0.05; done
until ip netns exec "$srv" ss -ltn | grep -q ':80 '; do sleep 0.05; done
# Neighbours are learnt before anything is captured.
for address in 192.0.2.10 2001:db8:2::10; do
    for _ in {1..30}; do
        if ip netns exec "$out" ping -c 1 -W 1 "$address" >/dev/null 2>&1; then break; fi
        sleep 0.1
    done
done

fetch() { ip netns exec "$out" curl -s --max-time 10 -o /dev/null "$@"; }
capture ftp-active.pcap "tcp" fetch --ftp-port - --disable-eprt ftp://192.0.2.10/hello.txt
capture ftp-passive.pcap "tcp" fetch --disable-epsv ftp://192.0.2.10/hello.txt
capture ftp-epsv-v6.pcap "tcp" fetch 'ftp://[2001:db8:2::10]/hello.txt'
capture http.pcap "tcp" fetch http://192.0.2.10/hello.txt
capture ping.pcap "icmp" ip netns exec "$out" ping -q -c 3 -i 0.2 192.0.2.10
capture ping6.pcap "icmp6 and (ip6[40] == 128 or ip6[40] == 129)" ip netns exec "$out" ping -6 -q -c 3 -i 0.2 2001:db8:2::10
capture traceroute-udp.pcap "udp or icmp" ip netns exec "$out" python3 - <<'PY'
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("203.0.113.9", 43210))
for ttl in (1, 2):
    s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
    for probe in range(2):
        s.sendto(b"probe", ("192.0.2.10", 33434 + 2 * ttl + probe))
        try:
            s.setblocking(True); s.settimeout(0.2); s.recv(10)
        except OSError:
            pass
PY
ls -l "$here"/*.pcap

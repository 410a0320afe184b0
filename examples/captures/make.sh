#!/usr/bin/env bash
# Makes the captures of this directory: real programs talk through a firewall host, tcpdump listens on it.
# The network is `net.sh`'s. Needs what that needs, vsftpd, curl, python3.
set -euo pipefail
. "$(dirname "$0")/net.sh"

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
learn

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
